//! A parameter server: workers push gradients into one actor, the driver watches.
//!
//! One that really learns, and how fast that can go: the example `parameter_server`.

use mobula::prelude::*;

use super::time;

pub struct ParameterServer {
    params: Vec<f64>,
}

#[mobula::actor]
impl ParameterServer {
    pub fn new() -> Self {
        ParameterServer { params: vec![0.0; 10] }
    }

    /// Gives the parameters as they are now: an array in shared memory that no later update changes.
    pub fn get_params(&self) -> mobula::Result<Array<f64>> {
        Ok(Array::from_slice(&self.params)?)
    }

    pub fn update_params(&mut self, gradients: Array<f64>) {
        for (param, gradient) in self.params.iter_mut().zip(&gradients[..]) {
            *param -= gradient;
        }
    }
}

#[mobula::task]
pub(crate) fn worker(parameter_server: ActorHandle<ParameterServer>) -> mobula::Result<()> {
    for _epoch in 0..100 {
        time::sleep(1.5); // stands for the computation of gradients
        let grad = Array::from_slice(&[1.0; 10])?;
        parameter_server.update_params(grad).remote();
    }
    Ok(())
}

/// Returns the parameters at the start and at each poll.
pub(crate) fn run() -> mobula::Result<Vec<Vec<f64>>> {
    // A task needs a CPU while it runs, also one that mostly sleeps: without three of them a worker would wait.
    let _runtime = mobula::init(time::scaled(Config::new().num_cpus(4.0)))?;

    let parameter_server = ParameterServer::remote()?;
    println!("{parameter_server:?}");
    let params = mobula::get(&parameter_server.get_params().remote())?;
    println!("Initial params: {:?}", &params[..]);
    let mut seen = vec![params.to_vec()];

    let _workers: Vec<_> = (0..3).map(|_| worker::remote(&parameter_server)).collect();

    for _ in 0..20 {
        let params = mobula::get(&parameter_server.get_params().remote())?;
        println!("Updated params: {:?}", &params[..]);
        seen.push(params.to_vec());
        time::sleep(1.0);
    }
    // The workers are not at their end: they end with the runtime.
    Ok(seen)
}
