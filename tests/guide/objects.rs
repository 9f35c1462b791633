//! Snippets of `docs/objects.md`.

use std::time::Duration;

use mobula::prelude::*;

use super::config;

#[mobula::task]
fn norm(matrix: Array<f64>, row: usize) -> f64 {
    let width = matrix.shape()[1];
    matrix[row * width..][..width].iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[mobula::task]
fn largest(parts: Vec<ObjectRef<Array<f32>>>) -> mobula::Result<f32> {
    let arrays = mobula::get_all(&parts)?;
    Ok(arrays.iter().flat_map(|array| array.iter()).copied().fold(f32::MIN, f32::max))
}

#[mobula::task]
fn fill(shared: SharedArray<u64>, part: usize) -> mobula::Result<()> {
    let mut part = shared.part_timeout(part, None)?; // this process's alone, until it is finished or the process ends
    let from = part.range().start as u64;
    part.iter_mut().zip(from..).for_each(|(square, i)| *square = i * i);
    part.finish()?;
    Ok(())
}

#[mobula::test]
fn objects() {
    let _runtime = mobula::init(config().object_store_memory(64 << 20)).unwrap();
    check().unwrap();
}

fn check() -> mobula::Result<()> {
    let names = mobula::put(&vec!["Ada".to_string(), "Bob".to_string()])?; // encoded once
    let read: Vec<String> = mobula::get(&names)?; // decoded where it is needed
    assert_eq!(read.len(), 2);

    let matrix = Array::from_shape(&[100, 1000], &vec![2.0; 100_000])?; // one copy into the store
    let norms: Vec<_> = (0..100).map(|row| norm::remote(&matrix, row)).collect(); // none
    assert_eq!(mobula::get_all(&norms)?[99], 4000_f64.sqrt());

    let mut squares = ArrayMut::<u64>::zeros(&[1000])?; // memory of the store, to be written in place
    for (i, square) in squares.iter_mut().enumerate() {
        *square = (i * i) as u64;
    }
    let squares: Array<u64> = squares.seal()?; // no copy; from here on it never changes
    assert_eq!(squares[30], 900);

    let mut cubes = squares.into_mut()?; // in place again, since nobody else holds it
    cubes[30] *= 30;
    assert_eq!(cubes.seal()?[30], 27_000);

    let shared = SharedArray::<u64>::new(&[1000], 4)?; // one array of 1000, in four parts
    let fills: Vec<_> = (0..4).map(|part| fill::remote(&shared, part)).collect();
    mobula::get_all(&fills)?;
    let squares: Array<u64> = shared.seal()?; // all parts are filled; no copy
    assert_eq!(squares[30], 900);

    let parts: Vec<_> =
        (0..4).map(|i| mobula::put(&Array::from_slice(&[i as f32, 0.5])?)).collect::<mobula::Result<_>>()?;
    assert_eq!(mobula::get(&largest::remote(parts))?, 3.0); // refs inside a value stay refs

    let never = mobula::get_timeout(&stuck::remote(), Duration::from_millis(1));
    assert!(never.is_err_and(|error| error.is_timeout()));
    Ok(())
}

#[mobula::task]
fn stuck() -> u8 {
    loop {
        std::thread::park();
    }
}
