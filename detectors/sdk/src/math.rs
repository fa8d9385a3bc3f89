//! Owns the mathematics that gives the same bits in a component and natively.

pub use libm::*;

/// The square root. IEEE 754 asks for the one nearest to the true one, so that every machine's instruction gives the same bits as
/// `libm`'s, which takes many times as long in a component.
#[must_use]
pub fn sqrt(x: f64) -> f64 {
    x.sqrt()
}

/// The next whole number towards 0; exact, as [`sqrt`] is.
#[must_use]
pub fn trunc(x: f64) -> f64 {
    x.trunc()
}

/// The next whole number below; exact, as [`sqrt`] is.
#[must_use]
pub fn floor(x: f64) -> f64 {
    x.floor()
}

/// The larger of two numbers, `b` where they can't be compared. In a component `f64::max` is a call.
#[must_use]
pub fn larger(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    /// A detector must find the same in a component as natively: not one bit may differ from `libm`'s.
    #[test]
    fn instructions_give_the_bits_of_the_library() {
        let mut noise = crate::testkit::Noise::new(6);
        let ends = [0.0, -0.0, 1.0, -1.5, 2.5, f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::MIN, f64::INFINITY];
        let any = (0..100_000).map(|_| f64::from_bits((noise.uniform() * 9.2e18) as u64)).filter(|x| !x.is_nan());
        for x in ends.into_iter().chain(any).flat_map(|x| [x, -x]) {
            assert_eq!(super::trunc(x).to_bits(), libm::trunc(x).to_bits(), "{x}");
            assert_eq!(super::floor(x).to_bits(), libm::floor(x).to_bits(), "{x}");
            if x >= 0.0 {
                assert_eq!(super::sqrt(x).to_bits(), libm::sqrt(x).to_bits(), "{x}");
            }
        }
    }
}
