//! The macros' error messages, as a person sees them: one file per family, reviewed like prose.
//!
//! The texts around ours are the compiler's and differ from version to version: on another one than 1.95 these tests say
//! so and do not run. `TRYBUILD=overwrite` writes the messages anew.

/// Whether the compiler is the one that the messages were reviewed with; says so where it is not.
fn is_the_compiler() -> bool {
    let version = std::process::Command::new("rustc").arg("--version").output();
    let version =
        version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let is_it = version.starts_with("rustc 1.95.");
    if !is_it {
        #[allow(clippy::print_stderr, reason = "says aloud that it did not run")]
        {
            eprintln!("NOT RUN: the messages were reviewed with rustc 1.95, and this is {version}");
        }
        assert!(
            !std::env::var("CI").is_ok_and(|ci| ci == "true"),
            "the toolchain of rust-toolchain.toml runs these tests"
        );
    }
    is_it
}

#[test]
fn what_is_right_compiles_and_runs() {
    if is_the_compiler() {
        trybuild::TestCases::new().pass("ui/pass/*.rs");
    }
}

/// Apart from what is run: then one call of the compiler checks all of them, without making programs.
#[test]
fn messages() {
    if !is_the_compiler() {
        return;
    }
    let cases = trybuild::TestCases::new();
    cases.compile_fail("ui/model/*.rs");
    cases.compile_fail("ui/cached/*.rs");
    cases.compile_fail("ui/function/*.rs");
    cases.compile_fail("ui/invalidates/*.rs");
    cases.compile_fail("ui/types/*.rs");
    cases.compile_fail("ui/value/*.rs");
    cases.compile_fail("ui/cache_key/*.rs");
    cases.compile_fail("ui/heap_size/*.rs");
}
