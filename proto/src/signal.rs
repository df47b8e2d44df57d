//! Names of the signals that ask an init to stop, as LXC, systemd and `kill -l` spell them.

/// First real-time signal that programs may use, as the C library counts: it keeps two of the kernel's for itself.
const RTMIN: i32 = 34;
/// The last one.
const RTMAX: i32 = 64;

/// Those that an init may listen to. The rest would kill it or mean something else everywhere.
const NAMED: [(&str, i32); 9] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("USR1", 10),
    ("USR2", 12),
    ("TERM", 15),
    ("CONT", 18),
    ("WINCH", 28),
    ("PWR", 30),
];

/// The number of a signal by its name (`SIGPWR`, `RTMIN+3`; upper case, `SIG` may be left out); none for a name that no
/// init is asked to stop by.
#[must_use]
pub fn stop_signal(name: &str) -> Option<i32> {
    let name = name.strip_prefix("SIG").unwrap_or(name);
    if let Some((_, number)) = NAMED.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => RTMIN,
        (Some(more), _) => RTMIN + offset(more.strip_prefix('+')?)?,
        (_, Some("")) => RTMAX,
        (_, Some(less)) => RTMAX - offset(less.strip_prefix('-')?)?,
        (None, None) => return None,
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

fn offset(digits: &str) -> Option<i32> {
    let plain = (1..=2).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_with_and_without_their_prefix() {
        for (name, number) in [
            ("SIGPWR", 30),
            ("PWR", 30),
            ("SIGRTMIN+3", 37),
            ("SIGRTMIN", 34),
            ("RTMAX-1", 63),
            ("SIGUSR2", 12),
        ] {
            assert_eq!(stop_signal(name), Some(number), "{name}");
        }
    }

    #[test]
    fn what_is_no_stop_signal_is_refused() {
        for name in [
            "",
            "SIG",
            "KILL",
            "SIGSTOP",
            "9",
            "SIGRTMIN+31",
            "RTMIN-1",
            "RTMIN+",
            "RTMAX-99",
            "RTMIN++3",
            "sigpwr",
        ] {
            assert_eq!(stop_signal(name), None, "{name}");
        }
    }
}
