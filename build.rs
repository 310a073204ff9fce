//! Links `build/names.c` into static builds with glibc, and nothing into any other.

fn main() {
    println!("cargo:rerun-if-changed=build/names.c");
    let is = |name: &str, value: &str| {
        let set = std::env::var(name).unwrap_or_default();
        set.split(',').any(|part| part == value)
    };
    if is("CARGO_CFG_TARGET_FEATURE", "crt-static") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        // Nothing refers to what is in it: it runs before `main`.
        cc::Build::new()
            .file("build/names.c")
            .link_lib_modifier("+whole-archive")
            .compile("bellwether_names");
    }
}
