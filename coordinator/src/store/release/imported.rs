//! Releases that another coordinator made.

use tfleet_proto::model::name::{ReleaseQuery, ReleaseRef};

use super::{Release, Store, StoreError, find, insert, write_locked};

impl Store {
    /// Takes in revisions that another coordinator made, all of them or none. One whose name and revision are taken is
    /// left as it is here; gives those that are new.
    pub async fn import_releases(
        &self,
        releases: Vec<Release>,
    ) -> Result<Vec<ReleaseRef>, StoreError> {
        self.run("write down releases of a bundle", move |transaction| {
            let mut new = Vec::new();
            for release in &releases {
                let reference = release.reference.clone();
                if find(transaction, &ReleaseQuery::Exact(reference.clone()))?.is_none() {
                    insert(transaction, release)?;
                    for build in &release.builds {
                        write_locked(transaction, build)?;
                    }
                    new.push(reference);
                }
            }
            Ok(new)
        })
        .await
    }
}
