//! The mapped control segment with its layout: what every protocol module works on.

use crate::ctl::Ctl;
use crate::layout::Layout;

/// A control segment and where things lie in it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ctl: Ctl,
    pub(crate) layout: Layout,
}
