// What is remote, and who may create: the visibility of `new`.
#![forbid(unsafe_code)]
#![deny(warnings)]

pub mod actors {
    pub struct Inner {
        log: Vec<String>,
    }

    #[mobula::actor]
    impl Inner {
        pub(super) fn new() -> Self {
            Inner { log: Vec::new() }
        }

        pub fn log(&mut self, line: String) {
            self.note(&line);
        }

        // None of these is remote, so none of these is refused.
        fn note(&mut self, line: &str) {
            self.log.push(line.to_owned());
        }

        pub(crate) fn generic<T>(&self, value: T) -> T {
            value
        }

        pub fn associated(text: &str) -> &str {
            text
        }

        pub fn with_impl(_: impl Fn()) {}

        pub const LINES: usize = 3;

        fn clone(&self) -> Inner {
            Inner { log: self.log.clone() }
        }

        #[allow(dead_code)]
        fn into_inner(self) -> Vec<String> {
            self.clone().log
        }

        #[allow(dead_code)]
        async fn later(&self) {}
    }

    // Plain blocks beside it are free.
    impl Inner {
        pub fn plain(&self) -> &[String] {
            &self.log
        }
    }

    pub struct Sealed;

    #[mobula::actor]
    impl Sealed {
        fn new() -> Self {
            Sealed
        }

        pub fn call(&self) {}
    }

    pub fn create() -> mobula::Result<mobula::ActorHandle<Sealed>> {
        Sealed::options().remote()
    }
}

use actors::Inner;

#[allow(dead_code)]
fn shapes() -> mobula::Result<()> {
    let inner = Inner::remote()?;
    let _ = inner.log("line").remote();
    let _ = actors::create()?.call().remote();
    let local = Inner::new();
    let _ = (local.plain(), local.generic(1), Inner::associated(""));
    Inner::with_impl(|| ());
    let _ = Inner::LINES;
    Ok(())
}

fn main() {}
