//! The WIT package as Rust, generated once for every plugin.
#![allow(missing_docs, clippy::all, unsafe_code, reason = "generated from wit/, which documents every item")]

wit_bindgen::generate!({
    path: "../../wit",
    world: "plugin",
    pub_export_macro: true,
    default_bindings_module: "portreeve_sdk::bindings",
    generate_all,
});
