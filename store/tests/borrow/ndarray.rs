//! `ndarray` views.

use mobula_store::{Array, ArrayMut};
use ndarray::{Axis, array};

use crate::{assert_empty, assert_pins, store};

#[test]
fn a_view_is_the_array_itself() {
    let store = store();
    let a = Array::from_shape_in(&store, &[2, 3], &[1i64, 2, 3, 4, 5, 6]).unwrap();
    let view = a.view();
    assert_eq!((view.as_ptr(), view.shape()), (a.as_ptr(), &[2, 3][..]));
    assert_eq!(view.sum_axis(Axis(0)), array![5, 7, 9].into_dyn());
    assert_pins(&store, a.id(), a);
}

#[test]
fn a_writable_view_is_the_array_itself() {
    let store = store();
    let mut m = ArrayMut::<f32>::zeros_in(&store, &[3, 2]).unwrap();
    let address = m.as_ptr();
    let mut view = m.view_mut();
    assert_eq!((view.as_ptr(), view.shape()), (address, &[3, 2][..]));
    view.assign(&array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]].t());
    view[[2, 1]] += 0.5;
    let a = m.seal().unwrap();
    assert_eq!(a[..], [1.0, 4.0, 2.0, 5.0, 3.0, 6.5]);
    drop(a);
    assert_empty(&store);
}

#[test]
fn shapes_without_elements_have_views() {
    let store = store();
    for shape in [&[][..], &[0], &[4, 0, 2], &[0, usize::MAX, 2]] {
        let mut m = ArrayMut::<u16>::zeros_in(&store, shape).unwrap();
        let len = m.len();
        assert_eq!(m.view_mut().len(), len);
        assert_eq!(m.seal().unwrap().view().len(), len);
    }
    assert_empty(&store);
}
