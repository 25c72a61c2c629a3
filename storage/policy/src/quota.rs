//! Quotas: whether a bucket may grow.

/// Whether a bucket that holds `used` bytes may take `added` more while `freed` of them go. What makes it no bigger is always taken: a quota
/// below what is there removes nothing, and stops nothing but growth.
#[must_use]
pub fn fits(quota: u64, used: u64, added: u64, freed: u64) -> bool {
    added <= freed || used.saturating_sub(freed).saturating_add(added) <= quota
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_bucket_grows_up_to_its_quota_and_shrinks_whatever_it_is() {
        // quota, used, added, freed, whether it may
        for (quota, used, added, freed, may) in [
            (100, 0, 100, 0, true),
            (100, 0, 101, 0, false),
            (100, 100, 0, 0, true),
            (100, 100, 1, 0, false),
            (100, 100, 30, 30, true),
            (100, 100, 31, 30, false),
            (100, 70, 60, 30, true),
            (100, 200, 30, 30, true),
            (100, 200, 30, 130, true),
            (0, 0, 0, 0, true),
            (0, 0, 1, 0, false),
            (u64::MAX, u64::MAX, u64::MAX, 0, true),
            (10, 5, u64::MAX, 0, false),
            (10, 5, 6, 9, true),
        ] {
            assert_eq!(fits(quota, used, added, freed), may, "{quota} {used} +{added} -{freed}");
        }
    }
}
