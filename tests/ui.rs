//! What the attributes accept, and what they say about what they refuse.
//!
//! `ui/pass` holds programs that must compile without a warning, one for each shape of the public API;
//! none of them starts a runtime. `ui/fail` holds programs with mistakes, each beside the compiler's
//! output. After a change of a message, or of the compiler, look at the new output and keep it with
//! `TRYBUILD=overwrite cargo test --test ui`.

#[test]
fn programs_that_compile_and_programs_with_mistakes() {
    // Together: by themselves each kind would compile all that the programs depend on.
    let programs = trybuild::TestCases::new();
    programs.pass("tests/ui/pass/*.rs");
    programs.compile_fail("tests/ui/fail/*.rs");
}
