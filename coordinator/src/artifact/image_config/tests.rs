use serde_json::json;

use super::rewrite;

#[test]
fn how_an_engine_spells_a_step_makes_no_other_image() {
    let of_engine = |step: &str| {
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "history": [{ "created_by": step, "empty_layer": true }],
        });
        rewrite(&config, &[]).unwrap()
    };
    let older = of_engine("EXPOSE map[8888/tcp:{} 22/tcp:{}]");
    assert_eq!(older, of_engine("EXPOSE [22/tcp 8888/tcp]"));
    assert!(older.contains("\"EXPOSE 22/tcp 8888/tcp\""), "{older}");
    // Anything else stays as it was written.
    assert!(of_engine("EXPOSE 22").contains("\"EXPOSE 22\""));
    assert!(of_engine("CMD [\"sh\"]").contains("CMD"));
}
