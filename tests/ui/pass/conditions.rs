// `#[cfg]` on everything: what is not there leaves nothing behind.
#![forbid(unsafe_code)]
#![deny(warnings)]

#[allow(dead_code)]
struct Conditional(u8);

#[mobula::actor]
#[cfg(unix)]
impl Conditional {
    #[cfg(unix)]
    pub fn new(start: u8) -> Self {
        Conditional(start)
    }

    #[cfg(not(unix))]
    pub fn new(start: NoSuchType) -> Self {
        Conditional(start)
    }

    #[cfg(not(unix))]
    pub fn absent(&self, value: NoSuchType) -> NoSuchType {
        value
    }

    #[cfg(not(unix))]
    #[mobula::method(num_returns = 2)]
    pub fn twice(&self) -> (u8, u8) {
        (1, 2)
    }

    #[cfg(unix)]
    #[mobula::method(num_returns = 3)]
    pub fn twice(&self) -> (u8, u8, u8) {
        (1, 2, 3)
    }

    pub fn parameters(&self, #[cfg(unix)] a: u8, #[cfg(not(unix))] b: NoSuchType, c: u8) -> u8 {
        a + c
    }

    #[cfg_attr(unix, cfg(unix), inline)]
    pub fn attribute(&self) {}
}

#[mobula::actor]
#[cfg(not(unix))]
impl NoSuchType {
    pub fn new() -> Self {}

    pub fn borrow(&self) {}
}

#[mobula::task]
#[cfg(not(unix))]
fn absent(value: NoSuchType) {}

#[mobula::task]
fn parameters(#[cfg(unix)] a: u8, #[cfg(not(unix))] b: NoSuchType, c: u8) -> u8 {
    a + c
}

#[allow(dead_code)]
fn shapes() -> mobula::Result<()> {
    let conditional = Conditional::remote(1)?;
    let (_, _, _) = conditional.twice().remote();
    let _ = conditional.parameters(1, 2).remote();
    let _ = conditional.attribute().remote();
    let _ = parameters::remote(1, 2);
    Ok(())
}

fn main() {}
