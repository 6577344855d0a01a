//! Verified delivery of an image into the engine.
