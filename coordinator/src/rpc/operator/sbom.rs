//! What is in a variant's image.

use tfleet_proto::wire;

use super::OperatorService;
use super::declined::Declined;
use crate::build::Sbom;
use crate::store::Origin;

impl OperatorService {
    pub(super) async fn get_sbom(
        &self,
        request: wire::GetSbomRequest,
    ) -> Result<wire::GetSbomResponse, Declined> {
        let release = self.release("release", &request.release).await?;
        let reference = release.reference.to_string();
        let Origin::Planned {
            request: spec,
            plan,
        } = &release.origin
        else {
            return Err(Declined::First(format!(
                "{reference} was not built here, so its packages are not known"
            )));
        };
        let recipes = || plan.variants.iter().map(|variant| &variant.recipe);
        let Some(recipe) = recipes().find(|recipe| recipe.id.as_str() == request.variant) else {
            let known = recipes().map(|recipe| recipe.id.as_str());
            return Err(Declined::unknown("variant", &request.variant, known));
        };
        let build = release
            .builds
            .iter()
            .find(|build| build.variant.as_str() == request.variant);
        let Some((digest, artifact)) = build.and_then(|build| build.lock.zip(build.artifact))
        else {
            return Err(Declined::First(format!(
                "variant {} of {reference} is not built yet; build it first: tfleet build {reference}",
                request.variant
            )));
        };
        let order = self.order(spec, recipe)?;
        let lock = self
            .builds
            .lock(&order)?
            .filter(|lock| lock.digest() == digest);
        let Some(lock) = lock else {
            return Err(Declined::First(format!(
                "the lock of variant {} of {reference} is not kept any more, because its packages were resolved anew since; build \
                 the newest revision, and ask for that one's",
                request.variant
            )));
        };
        let sbom = Sbom {
            release: &reference,
            order: &order,
            lock: &lock,
            artifact: &artifact,
        };
        Ok(wire::GetSbomResponse {
            document: sbom.to_json(),
        })
    }
}
