//! Snippets of `docs/graphs.md`.

use mobula::{Graph, GraphOptions};

use super::config;

struct Scale {
    by: f64,
}

#[mobula::actor]
impl Scale {
    pub fn new(by: f64) -> Self {
        Scale { by }
    }

    pub fn apply(&self, x: f64) -> f64 {
        x * self.by
    }

    pub fn add(&self, x: f64, y: f64) -> f64 {
        x + y
    }

    pub fn root(&self, x: f64) -> Result<f64, String> {
        if x < 0.0 { Err(format!("{x} has no root")) } else { Ok(x.sqrt()) }
    }
}

#[mobula::test]
fn graphs() {
    let _runtime = mobula::init(config()).unwrap();
    check().unwrap();
}

#[expect(clippy::float_cmp, reason = "these are exact")]
fn check() -> mobula::Result<()> {
    let (double, triple, join) = (Scale::remote(2.0)?, Scale::remote(3.0)?, Scale::remote(1.0)?);
    let graph = Graph::<(f64,), _>::compile(|(x,)| {
        let doubled = double.apply(&x).bind(); // a node, which stands for the result
        let tripled = triple.apply(&x).bind();
        join.add(doubled, tripled).bind()
    })?;
    for i in 0..100 {
        let x = f64::from(i);
        assert_eq!(graph.execute((x,))?.get()?, 5.0 * x);
    }
    drop(graph);

    let options = GraphOptions::new().in_flight(64);
    let graph = options.compile::<(f64,), _>(|(x,)| {
        let doubled = double.apply(x).bind();
        (triple.apply(&doubled).bind(), doubled)
    })?;
    let results: Vec<_> = (0..64).map(|i| graph.execute((f64::from(i),))).collect::<mobula::Result<_>>()?;
    for (i, result) in results.into_iter().enumerate() {
        assert_eq!(result.get()?, (6.0 * i as f64, 2.0 * i as f64));
    }
    graph.teardown()?; // waits until the actors are free; dropping the graph does not

    let graph = Graph::<(f64,), _>::compile(|(x,)| {
        let root = join.root(x).bind();
        double.apply(root).bind()
    })?;
    assert!(graph.execute((-4.0,))?.get().is_err_and(|error| error.to_string().contains("-4 has no root")));
    assert_eq!(graph.execute((4.0,))?.get()?, 4.0);
    Ok(())
}
