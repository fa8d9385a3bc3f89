//! What measures detectors and the engine natively, for programs and tests of this package.

pub mod calm;
