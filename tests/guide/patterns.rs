//! Snippets of `docs/patterns.md`.

use mobula::prelude::*;

use super::config;

struct Leaf {
    data: Vec<u64>,
}

#[mobula::actor]
impl Leaf {
    pub fn new(data: Vec<u64>) -> Self {
        Leaf { data }
    }

    pub fn sum(&self) -> u64 {
        self.data.iter().sum()
    }

    pub fn sum_with(&self, x: u64) -> u64 {
        self.sum() + x
    }
}

/// Owns its leaves: when it ends, in whatever way, so do they.
struct Root {
    leaves: Vec<ActorHandle<Leaf>>,
}

#[mobula::actor]
impl Root {
    pub fn new(data: Vec<u64>, leaves: usize) -> mobula::Result<Self> {
        let share = data.len().div_ceil(leaves);
        let leaves = data.chunks(share).map(|part| Leaf::remote(part.to_vec()));
        Ok(Root { leaves: leaves.collect::<mobula::Result<_>>()? })
    }

    pub fn sum(&self) -> mobula::Result<u64> {
        let parts: Vec<_> = self.leaves.iter().map(|leaf| leaf.sum().remote()).collect();
        Ok(mobula::get_all(&parts)?.iter().sum())
    }
}

struct ParameterServer {
    parameters: Array<f32>,
}

#[mobula::actor]
impl ParameterServer {
    pub fn new(parameters: Array<f32>) -> Self {
        ParameterServer { parameters }
    }

    /// Gives the parameters away without a copy: they lie in shared memory already.
    pub fn pull(&self) -> Array<f32> {
        self.parameters.clone()
    }

    /// Subtracts the gradients in place, or in a copy while somebody still reads the old parameters.
    pub fn push(&mut self, gradients: Vec<Array<f32>>) -> mobula::Result<()> {
        let mut next = std::mem::replace(&mut self.parameters, Array::from_slice(&[])?).into_mut()?;
        for gradient in &gradients {
            next.iter_mut().zip(gradient.iter()).for_each(|(parameter, g)| *parameter -= 0.1 * g);
        }
        self.parameters = next.seal()?;
        Ok(())
    }
}

/// The gradient of half of the squared distance from `target`.
#[mobula::task]
fn gradient(parameters: Array<f32>, target: f32) -> mobula::Result<Array<f32>> {
    let mut gradient = ArrayMut::with_len(parameters.len())?;
    gradient.iter_mut().zip(parameters.iter()).for_each(|(g, parameter)| *g = parameter - target);
    Ok(gradient.seal()?)
}

#[mobula::test]
fn patterns() {
    let _runtime = mobula::init(config()).unwrap();
    check().unwrap();
}

fn check() -> mobula::Result<()> {
    let root = Root::remote((1..=1000).collect::<Vec<u64>>(), 4)?;
    assert_eq!(root.sum().call()?, 500_500);

    let server = ParameterServer::remote(Array::from_slice(&[0.0; 1000])?)?;
    for _ in 0..50 {
        let parameters = server.pull().remote(); // read by both tasks, copied by neither
        let gradients = [gradient::remote(&parameters, 1.0), gradient::remote(&parameters, 3.0)];
        server.push(mobula::get_all(&gradients)?).call()?;
    }
    let parameters = server.pull().call()?;
    assert!(parameters.iter().all(|parameter| (parameter - 2.0).abs() < 1e-3)); // between both targets

    let leaves = (0..2).map(|i| Leaf::remote(vec![i, i])).collect::<mobula::Result<Vec<_>>>()?;
    let mut pool = mobula::ActorPool::new(leaves);
    let sums: Vec<u64> = pool.map(|leaf, x| leaf.sum_with(x), 0..10).collect::<mobula::Result<_>>()?;
    assert_eq!(sums.len(), 10);

    let mut total = 0;
    pool.submit(|leaf, x| leaf.sum_with(x), 3);
    pool.submit(|leaf, x| leaf.sum_with(x), 4);
    while pool.has_next() {
        total += pool.get_next_unordered()?; // or get_next: in the order of submission
    }
    assert!((7..=11).contains(&total), "{total}");
    Ok(())
}
