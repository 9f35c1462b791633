//! Shapes that do not fit, lengths of zero, sizes beyond memory.

use mobula::prelude::*;

use super::support::{all_space_back, get, start, stats};

struct Mirror;

#[mobula::actor]
impl Mirror {
    pub fn new() -> Self {
        Mirror
    }

    pub fn back(&self, array: Array<f64>) -> (Array<f64>, Vec<usize>, usize) {
        let shape = array.shape().to_vec();
        let len = array.len();
        (array, shape, len)
    }

    pub fn empty(&self) -> Array<u8> {
        Array::from_slice(&[]).unwrap()
    }
}

#[mobula::test]
fn a_shape_that_does_not_fit_is_an_error_with_both_figures() {
    let _runtime = start();
    let before = stats();
    for shape in [&[2, 3][..], &[7], &[0], &[], &[5, 1, 2]] {
        let error = Array::from_shape(shape, &[1.0f32; 5]).unwrap_err();
        assert!(error.is_invalid_argument(), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&format!("{shape:?}")) && text.contains('5'), "{text}");
        assert!(mobula::Error::from(error).is_invalid_argument());
    }
    for shape in [&[usize::MAX, 2][..], &[usize::MAX], &[1 << 40, 1 << 40], &[1; 33]] {
        let error = ArrayMut::<f64>::zeros(shape).unwrap_err();
        assert!(error.is_invalid_argument(), "{shape:?}: {error:?}");
    }
    assert!(ArrayMut::<f64>::with_len(usize::MAX).unwrap_err().is_invalid_argument());
    assert_eq!(Array::from_shape(&[], &[1.5]).unwrap()[..], [1.5], "no dimensions, one element");
    all_space_back(before);
}

#[mobula::test]
fn arrays_of_length_zero_are_arrays() {
    let _runtime = start();
    let mirror = Mirror::remote().unwrap();
    for array in [
        Array::<f64>::from_slice(&[]).unwrap(),
        Array::from_shape(&[0], &[]).unwrap(),
        Array::from_shape(&[3, 0, 2], &[]).unwrap(),
        ArrayMut::zeros(&[0, 5]).unwrap().seal().unwrap(),
        ArrayMut::with_len(0).unwrap().seal().unwrap(),
    ] {
        assert!(array.is_empty());
        let (back, shape, len) = get(&mirror.back(&array).remote()).unwrap();
        assert_eq!((back.shape(), &shape[..], len), (array.shape(), array.shape(), 0));
        assert_eq!(back, array);
        let put = mobula::put(&array).unwrap();
        assert_eq!(mobula::get(&put).unwrap(), array);
        assert_eq!(get(&mirror.back(&put).remote()).unwrap().2, 0);
    }
    assert!(get(&mirror.empty().remote()).unwrap().is_empty());
    // Elements of no size: nothing to store, however many.
    let nothing = Array::from_slice(&[(), (), ()]).unwrap();
    assert_eq!(nothing.shape(), [3]);
}

#[mobula::test]
fn an_array_that_is_not_sealed_is_given_back() {
    let _runtime = start();
    let before = stats();
    let mut draft = ArrayMut::<u64>::zeros(&[1000, 100]).unwrap();
    assert!(draft.iter().all(|element| *element == 0));
    draft[99_999] = 7;
    assert!(stats().used_bytes >= before.used_bytes + 800_000);
    drop(draft);
    all_space_back(before);
    // The memory that it had is dirty now, and zeros are zero all the same.
    let again = ArrayMut::<u64>::zeros(&[1000, 100]).unwrap().seal().unwrap();
    assert!(again.iter().all(|element| *element == 0));
}
