//! Snippets of `docs/resources.md`.

use std::collections::BTreeMap;

use mobula::prelude::*;

struct Trainer;

#[mobula::actor(num_gpus = 1.0)] // the class's default; `options()` overrides it
impl Trainer {
    pub fn new() -> Self {
        Trainer
    }

    pub fn device(&self) -> (Vec<u32>, String) {
        // Set before any code of the user runs, for the libraries that read it.
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
        (mobula::context().gpu_ids(), visible)
    }

    pub fn held(&self) -> BTreeMap<String, f64> {
        mobula::context().assigned_resources()
    }
}

#[mobula::task(num_cpus = 2.0)]
fn simulate(steps: u64) -> u64 {
    (1..=steps).sum()
}

#[mobula::test]
fn resources() {
    check().unwrap();
}

fn check() -> mobula::Result<()> {
    let config = Config::new().num_cpus(4.0).num_gpus(2.0).resource("licence", 3.0);
    let _runtime = mobula::init(config.object_store_memory(32 << 20))?;
    assert_eq!(mobula::cluster_resources()["GPU"], 2.0);

    let first = Trainer::remote()?;
    assert_eq!(first.device().call()?, (vec![0], "0".to_string()));
    let halves = Trainer::options().num_gpus(0.5); // two of them share a device
    let (second, third) = (halves.remote()?, halves.remote()?);
    assert_eq!(second.device().call()?, third.device().call()?);
    assert_eq!(mobula::available_resources()["GPU"], 0.0);

    mobula::kill(&first)?; // back as soon as the process is gone
    assert_eq!(mobula::available_resources()["GPU"], 1.0);

    assert_eq!(mobula::get(&simulate::remote(4))?, 10);

    let licensed = Trainer::options().num_gpus(0.0).resource("licence", 1.5);
    let (one, two) = (licensed.remote()?, licensed.remote()?);
    assert_eq!(one.held().call()?["licence"], 1.5);
    assert_eq!(two.held().call()?["licence"], 1.5);
    assert_eq!(mobula::available_resources()["licence"], 0.0);

    let error = Trainer::options().num_gpus(3.0).remote().unwrap_err();
    assert!(error.is_insufficient_resources());
    Ok(())
}
