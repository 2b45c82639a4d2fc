//! Which fold a row belongs to: a fixed hash of its id.

/// The fold of the row with this id, in `0..folds`: splitmix64 of the id, modulo the number of folds
/// (Steele, Lea, Flood 2014). A row has the same fold however the rows are ordered or sharded, and rows with
/// one id (the captions of one image) share a fold.
///
/// ```
/// assert!((0..1000).all(|id| canonsim_core::fold_of(id, 5) < 5));
/// assert_eq!(canonsim_core::fold_of(7, 5), canonsim_core::fold_of(7, 5));
/// ```
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn fold_of(id: i64, folds: usize) -> usize {
    (splitmix64(id as u64) % folds as u64) as usize
}

const fn splitmix64(id: u64) -> u64 {
    let z = id.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::splitmix64;

    #[test]
    fn follows_the_published_sequence() {
        // The first outputs of splitmix64 seeded with 0: each is the hash of the state before it.
        const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
        assert_eq!(splitmix64(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(splitmix64(GAMMA), 0x6E78_9E6A_A1B9_65F4);
        assert_eq!(splitmix64(GAMMA.wrapping_mul(2)), 0x06C4_5D18_8009_454F);
    }
}
