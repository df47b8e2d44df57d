//! What follows when more goes out of a VPS in a month than its plan includes.
//!
//! A function of what was used and what is included, and of nothing before it: so it can be worked out again and again,
//! and everything is undone by itself when a month begins, when the plan includes more, or when the policy changes. What
//! comes in costs nothing, as with hcloud.

use crate::error::{Error, Result};

/// What a plan does with VPSes that have used up what it includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Only tells.
    Nothing,
    /// Lowers the bandwidth.
    Throttle,
    /// Lets nothing pass.
    Suspend,
}

/// The policies by their names, as the database and the APIs spell them.
pub const POLICIES: [(Over, &str); 3] =
    [(Over::Nothing, "nothing"), (Over::Throttle, "throttle"), (Over::Suspend, "suspend")];

impl Over {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        POLICIES.iter().find(|(over, _)| *over == self).map_or("nothing", |(_, name)| name)
    }

    /// Reads a policy in `field`.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn parse(field: &str, name: &str) -> Result<Self> {
        let found = POLICIES.iter().find(|(_, known)| *known == name);
        found
            .map(|(over, _)| *over)
            .ok_or_else(|| Error::invalid(field, "must be nothing, throttle or suspend"))
    }
}

/// What there is to decide upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Bytes that went out this month: of the VPS, or of its project where that is pooled.
    pub used: i64,
    /// Bytes that are included; 0 where nothing is said, and then there is no end to it.
    pub included: i64,
    /// What the plan does.
    pub over: Over,
    /// To what it lowers the bandwidth, Mbit/s.
    pub throttle_mbit: i64,
}

/// How a VPS stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// What was reached of what is included: 0, 80 or 100.
    pub percent: i16,
    /// To what its bandwidth is lowered, Mbit/s; 0 for not.
    pub throttle_mbit: i64,
    /// Whether nothing passes.
    pub suspended: bool,
}

/// How a VPS should stand.
#[must_use]
pub fn level(account: &Account) -> Level {
    let (used, included) = (i128::from(account.used), i128::from(account.included));
    let reached = |percent: i128| included > 0 && used * 100 >= included * percent;
    if !reached(100) {
        return Level { percent: if reached(80) { 80 } else { 0 }, ..Level::default() };
    }
    let over = Level { percent: 100, ..Level::default() };
    match account.over {
        Over::Nothing => over,
        Over::Throttle => Level { throttle_mbit: account.throttle_mbit.max(1), ..over },
        Over::Suspend => Level { suspended: true, ..over },
    }
}

/// What there is to tell when a VPS comes from one level to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum News {
    /// So many per cent of what is included are used.
    Reached(i16),
    /// The bandwidth was lowered.
    Throttled,
    /// Nothing passes any more.
    Suspended,
    /// What was lowered or suspended is as it was.
    Restored,
}

/// What there is to tell, in this order.
#[must_use]
pub fn news(before: Level, now: Level) -> Vec<News> {
    let steps = [80, 100].into_iter().filter(|step| before.percent < *step && *step <= now.percent);
    let mut news: Vec<News> = steps.map(News::Reached).collect();
    if now.suspended && !before.suspended {
        news.push(News::Suspended);
    }
    if now.throttle_mbit > 0 && before.throttle_mbit != now.throttle_mbit {
        news.push(News::Throttled);
    }
    let held = |level: Level| level.suspended || level.throttle_mbit > 0;
    if held(before) && !held(now) {
        news.push(News::Restored);
    }
    news
}

/// The bandwidth that a host is told, Mbit/s; 0 for no limit.
#[must_use]
pub fn bandwidth(desired_mbit: i64, throttle_mbit: i64) -> i64 {
    match (desired_mbit, throttle_mbit) {
        (desired, 0) => desired,
        (0, throttle) => throttle,
        (desired, throttle) => desired.min(throttle),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_account() -> impl Strategy<Value = Account> {
        let over = prop_oneof![Just(Over::Nothing), Just(Over::Throttle), Just(Over::Suspend)];
        let bytes = || prop_oneof![Just(0), 1..2000_i64, 0..i64::MAX];
        (bytes(), bytes(), over, 1..100_000_i64).prop_map(|(used, included, over, throttle_mbit)| Account {
            used,
            included,
            over,
            throttle_mbit,
        })
    }

    #[test]
    fn the_ladder_step_by_step() {
        let at = |used, over| level(&Account { used, included: 1000, over, throttle_mbit: 10 });
        for over in [Over::Nothing, Over::Throttle, Over::Suspend] {
            assert_eq!(at(799, over), Level::default());
            assert_eq!(at(800, over), Level { percent: 80, ..Level::default() });
            assert_eq!(at(999, over).percent, 80);
        }
        let over = Level { percent: 100, ..Level::default() };
        assert_eq!(at(1000, Over::Nothing), over);
        assert_eq!(at(1000, Over::Throttle), Level { throttle_mbit: 10, ..over });
        assert_eq!(at(1000, Over::Suspend), Level { suspended: true, ..over });
        let all = [News::Reached(80), News::Reached(100), News::Suspended];
        assert_eq!(news(Level::default(), at(5000, Over::Suspend)), all);
        assert_eq!(news(at(5000, Over::Suspend), at(0, Over::Suspend)), [News::Restored]);
        assert_eq!(news(at(5000, Over::Suspend), at(5000, Over::Throttle)), [News::Throttled]);
        assert_eq!(news(at(900, Over::Suspend), Level::default()), []);
    }

    #[test]
    fn policies_are_spelled_one_way() {
        for (over, name) in POLICIES {
            assert_eq!((over.name(), Over::parse("x", name).unwrap()), (name, over));
        }
        assert!(Over::parse("x", "Nothing").is_err());
    }

    proptest! {
        #[test]
        fn more_traffic_never_loosens(account in any_account(), more in 0..i64::MAX) {
            let worse = Account { used: account.used.saturating_add(more), ..account };
            let (before, after) = (level(&account), level(&worse));
            prop_assert!(before.percent <= after.percent);
            prop_assert!(before.throttle_mbit <= after.throttle_mbit && before.suspended <= after.suspended);
        }

        #[test]
        fn nothing_is_done_below_what_is_included(account in any_account()) {
            let level = level(&account);
            if account.included == 0 || account.used < account.included {
                prop_assert!(level.percent < 100 && level.throttle_mbit == 0 && !level.suspended);
            } else {
                prop_assert_eq!(level.percent, 100);
                prop_assert!(!(level.suspended && level.throttle_mbit > 0));
            }
        }

        #[test]
        fn a_new_month_undoes_everything_and_it_is_told(account in any_account()) {
            let before = level(&account);
            let now = level(&Account { used: 0, ..account });
            prop_assert_eq!(now, Level::default());
            let held = before.suspended || before.throttle_mbit > 0;
            prop_assert_eq!(news(before, now).contains(&News::Restored), held);
            prop_assert_eq!(news(before, before), vec![]);
        }

        #[test]
        fn a_throttle_only_ever_lowers(desired in 0..10_000_i64, throttle in 0..10_000_i64) {
            let unlimited = |mbit: i64| if mbit == 0 { i64::MAX } else { mbit };
            let told = bandwidth(desired, throttle);
            prop_assert_eq!(unlimited(told), unlimited(desired).min(unlimited(throttle)));
        }
    }
}
