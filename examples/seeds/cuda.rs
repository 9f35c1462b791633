//! Matrix products on a CUDA device, if there is one.
//!
//! The driver's library is looked for when the program runs: without it, or without a device, the program says so and
//! computes on the CPU. The kernel is written in PTX, which the driver compiles for its device.

#![allow(unsafe_code, reason = "a kernel's arguments are checked by nobody else")]

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaFunction, CudaSlice, CudaStream, DriverError, LaunchConfig, PushKernelArg, sys};
use cudarc::nvrtc::Ptx;

/// c\[i, j\] = keep c\[i, j\] + scale sum over k of a\[i row + k step\] b\[k, j\], a thread an element of c.
const PRODUCT: &str = "
.version 6.0
.target sm_50
.address_size 64
.visible .entry product(
    .param .u64 a, .param .u64 b, .param .u64 c,
    .param .u32 rows, .param .u32 inner, .param .u32 columns,
    .param .u32 row, .param .u32 step,
    .param .f32 scale, .param .f32 keep)
{
    .reg .pred %p<3>;
    .reg .b32 %r<14>;
    .reg .f32 %f<8>;
    .reg .b64 %d<9>;
    mov.u32 %r1, %ctaid.x;
    mov.u32 %r2, %ntid.x;
    mov.u32 %r3, %tid.x;
    mad.lo.u32 %r4, %r1, %r2, %r3;
    ld.param.u32 %r5, [rows];
    ld.param.u32 %r6, [columns];
    mul.lo.u32 %r7, %r5, %r6;
    setp.ge.u32 %p1, %r4, %r7;
    @%p1 bra $end;
    div.u32 %r8, %r4, %r6;
    rem.u32 %r9, %r4, %r6;
    ld.param.u64 %d1, [a];
    cvta.to.global.u64 %d1, %d1;
    ld.param.u32 %r10, [row];
    mul.wide.u32 %d4, %r8, %r10;
    shl.b64 %d4, %d4, 2;
    add.u64 %d1, %d1, %d4;
    ld.param.u64 %d2, [b];
    cvta.to.global.u64 %d2, %d2;
    mul.wide.u32 %d5, %r9, 4;
    add.u64 %d2, %d2, %d5;
    ld.param.u32 %r11, [step];
    mul.wide.u32 %d6, %r11, 4;
    mul.wide.u32 %d7, %r6, 4;
    ld.param.u32 %r12, [inner];
    mov.f32 %f1, 0f00000000;
$next:
    setp.eq.u32 %p2, %r12, 0;
    @%p2 bra $sum;
    ld.global.f32 %f2, [%d1];
    ld.global.f32 %f3, [%d2];
    fma.rn.f32 %f1, %f2, %f3, %f1;
    add.u64 %d1, %d1, %d6;
    add.u64 %d2, %d2, %d7;
    sub.u32 %r12, %r12, 1;
    bra $next;
$sum:
    ld.param.u64 %d3, [c];
    cvta.to.global.u64 %d3, %d3;
    mul.wide.u32 %d8, %r4, 4;
    add.u64 %d3, %d3, %d8;
    ld.global.f32 %f4, [%d3];
    ld.param.f32 %f5, [scale];
    ld.param.f32 %f6, [keep];
    mul.f32 %f7, %f4, %f6;
    fma.rn.f32 %f7, %f1, %f5, %f7;
    st.global.f32 [%d3], %f7;
$end:
    ret;
}
";

/// A matrix in the memory of the device.
pub(crate) struct Matrix {
    values: CudaSlice<f32>,
    rows: usize,
    columns: usize,
}

/// A device that computes products.
pub(crate) struct Device {
    name: String,
    stream: Arc<CudaStream>,
    product: CudaFunction,
}

impl Device {
    /// Opens the first device that `CUDA_VISIBLE_DEVICES` leaves, and tries it; the error says why there is none.
    pub(crate) fn open() -> Result<Device, String> {
        // SAFETY: the library of the driver is one that may be loaded at any time, and its initialisers owe us nothing.
        if !unsafe { sys::is_culib_present() } {
            return Err("no CUDA driver".to_owned());
        }
        let device = Device::find().map_err(|error| format!("no CUDA device: {error}"))?;
        match device.trial() {
            Ok(true) => Ok(device),
            Ok(false) => Err(format!("the CUDA device {} computes something else", device.name)),
            Err(error) => Err(format!("the CUDA device {} cannot be used: {error}", device.name)),
        }
    }

    fn find() -> Result<Device, DriverError> {
        let context = CudaContext::new(0)?;
        let product = context.load_module(Ptx::from_src(PRODUCT))?.load_function("product")?;
        Ok(Device { name: context.name()?, stream: context.default_stream(), product })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Copies a matrix to the device, row by row.
    pub(crate) fn upload(&self, values: &[f32], columns: usize) -> Result<Matrix, DriverError> {
        Ok(Matrix { values: self.stream.clone_htod(values)?, rows: values.len() / columns, columns })
    }

    /// Makes a matrix of zeros there.
    pub(crate) fn zeros(&self, rows: usize, columns: usize) -> Result<Matrix, DriverError> {
        Ok(Matrix { values: self.stream.alloc_zeros(rows * columns)?, rows, columns })
    }

    /// Copies a matrix back.
    pub(crate) fn download(&self, matrix: &Matrix) -> Result<Vec<f32>, DriverError> {
        self.stream.clone_dtoh(&matrix.values)
    }

    /// Returns `a b`.
    pub(crate) fn product(&self, a: &Matrix, b: &Matrix) -> Result<Matrix, DriverError> {
        let mut c = self.zeros(a.rows, b.columns)?;
        self.launch(a, (a.rows, a.columns), (a.columns, 1), b, 1.0, &mut c)?;
        Ok(c)
    }

    /// Adds `scale` times the product of a's transpose and `b` to `c`.
    pub(crate) fn add_transposed_product(
        &self,
        scale: f32,
        a: &Matrix,
        b: &Matrix,
        c: &mut Matrix,
    ) -> Result<(), DriverError> {
        self.launch(a, (a.columns, a.rows), (1, a.columns), b, scale, c)
    }

    /// `a` has so many rows and columns, and in memory so much from a row to the next and from a column to the next.
    fn launch(
        &self,
        a: &Matrix,
        (rows, inner): (usize, usize),
        (row, step): (usize, usize),
        b: &Matrix,
        scale: f32,
        c: &mut Matrix,
    ) -> Result<(), DriverError> {
        assert!(b.rows == inner && c.rows == rows && c.columns == b.columns, "matrices of other shapes");
        let [rows, inner, columns, row, step] = [rows, inner, c.columns, row, step].map(|number| number as u32);
        let mut call = self.stream.launch_builder(&self.product);
        call.arg(&a.values).arg(&b.values).arg(&mut c.values);
        call.arg(&rows).arg(&inner).arg(&columns).arg(&row).arg(&step).arg(&scale).arg(&1.0_f32);
        // SAFETY: the arguments are those that the kernel declares, in its order; the shapes, which were compared above,
        // keep every index inside the three matrices, and a thread beyond the last element of c does nothing.
        unsafe { call.launch(LaunchConfig::for_num_elems(rows * columns)) }?;
        Ok(())
    }

    /// Compares small products with what they must be.
    fn trial(&self) -> Result<bool, DriverError> {
        let a = self.upload(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3)?;
        let b = self.upload(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], 2)?;
        let mut c = self.product(&a, &b)?;
        let right = self.download(&c)? == [4.0, 5.0, 10.0, 11.0];
        let d = self.upload(&[4.0, 5.0, 10.0, 11.0], 2)?;
        self.add_transposed_product(-1.0, &self.upload(&[1.0, 0.0, 0.0, 1.0], 2)?, &d, &mut c)?;
        Ok(right && self.download(&c)? == [0.0; 4])
    }
}
