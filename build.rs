//! Links `build/names.c` into static builds with glibc, and nothing into any other. Packs the
//! relocations of such builds, if their glibc can start the result.

fn main() {
    println!("cargo:rerun-if-changed=build/names.c");
    println!("cargo:rerun-if-changed=build/relocations.c");
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
        if may_pack_relocations() {
            // Half a megabyte of the file, and of the memory of every process: each start reads
            // them all. A linker that cannot do this ignores it.
            println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        }
    }
}

fn may_pack_relocations() -> bool {
    let text = cc::Build::new().file("build/relocations.c").expand();
    String::from_utf8_lossy(&text).lines().any(|line| line == "relocations may be packed")
}
