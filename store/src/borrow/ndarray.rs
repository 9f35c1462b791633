//! Arrays as n-dimensional views, to be written in place.

use bytemuck::Pod;
use ndarray::{ArrayViewMut1, ArrayViewMutD, IxDyn};

use crate::array::ArrayMut;

impl<T: Pod> ArrayMut<T> {
    /// Borrows the array as a writable n-dimensional view, without a copy.
    ///
    /// # Examples
    ///
    /// An array that lies elsewhere, in whatever order, gets into the store by one copy:
    ///
    /// ```
    /// use mobula_store::{ArrayMut, Store, StoreOptions};
    ///
    /// # fn main() -> mobula_store::Result<()> {
    /// let store = Store::create(StoreOptions::new(1 << 20))?;
    /// let table = ndarray::array![[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]];
    ///
    /// let mut m = ArrayMut::<f32>::uninit_in(&store, &[3, 2])?;
    /// m.view_mut().assign(&table.t());
    /// let a = m.seal()?;
    /// assert_eq!(a.view(), table.t().into_dyn());
    /// # Ok(())
    /// # }
    /// ```
    pub fn view_mut(&mut self) -> ArrayViewMutD<'_, T> {
        let shape = IxDyn(self.shape());
        // The shape fits the data: checked when the array was made. What ndarray refuses all the same are
        // shapes of no element with dimensions beyond its limits.
        ArrayViewMutD::from_shape(shape, self).unwrap_or_else(|_| ArrayViewMut1::from(&mut []).into_dyn())
    }
}
