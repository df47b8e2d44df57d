//! `/etc/inittab`, as sysvinit and busybox's init read it, for a guest: a login on the console instead of on terminals
//! that are not there, and an answer to the power signal, by which it is asked to stop.
//!
//! Both have lines of four fields, `id:runlevels:action:process`. For busybox the first is a terminal and the second is
//! ignored; sysvinit insists on an id of its own for each line.

/// Whose dialect a table is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    /// sysvinit.
    SysV,
    /// Busybox.
    Busybox,
}

/// What busybox's init does without a table, on a machine with one terminal.
pub(super) const BUSYBOX_DEFAULT: &str = "::sysinit:/etc/init.d/rcS\n::ctrlaltdel:/sbin/reboot\n::shutdown:/bin/umount -a -r\n::restart:/sbin/init\n";

impl Flavour {
    /// Only busybox lets the first field be empty.
    pub(super) fn of(table: &str) -> Self {
        let busybox = lines(table).any(|line| line.id.is_empty());
        if busybox { Self::Busybox } else { Self::SysV }
    }
}

struct Line<'a> {
    id: &'a str,
    action: &'a str,
    process: &'a str,
}

fn line(text: &str) -> Option<Line<'_>> {
    if text.trim_start().starts_with('#') {
        return None;
    }
    let mut fields = text.splitn(4, ':');
    let (id, _, action, process) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    Some(Line { id: id.trim(), action: action.trim(), process: process.trim() })
}

fn lines(table: &str) -> impl Iterator<Item = Line<'_>> {
    table.lines().filter_map(line)
}

/// The table for a guest; `getty` is the program that asks for a login, `once` what is to be run after everything else.
pub(super) fn adapt(old: &str, flavour: Flavour, getty: Option<&str>, once: Option<&str>) -> String {
    let mut out = String::with_capacity(old.len() + 256);
    for text in old.lines() {
        if line(text).is_some_and(|line| missing_terminal(&line)) {
            out.push('#');
        }
        out.push_str(text);
        out.push('\n');
    }
    let has_console = lines(&out).any(|line| line.on_console(flavour));
    if let Some(getty) = getty.filter(|_| !has_console) {
        // util-linux's would clear what was shown of the boot.
        let options = if getty.ends_with("agetty") { "--noclear 38400" } else { "38400" };
        let (id, levels) = if flavour == Flavour::SysV { ("bc", "12345") } else { ("console", "") };
        out.push_str(&format!("{id}:{levels}:respawn:{getty} {options} console linux\n"));
    } else if !has_console && flavour == Flavour::Busybox {
        out.push_str("::askfirst:-/bin/sh\n");
    }
    // Busybox's init halts by itself on that signal.
    if flavour == Flavour::SysV && !lines(&out).any(|line| line.action == "powerfail") {
        out.push_str("bp::powerfail:/sbin/init 0\n");
    }
    if let Some(program) = once {
        let start = if flavour == Flavour::SysV { "bu:2345" } else { ":" };
        out.push_str(&format!("{start}:once:{program}\n"));
    }
    out
}

/// Whether a line keeps a login on a terminal that no guest has.
fn missing_terminal(line: &Line<'_>) -> bool {
    let keeps = ["respawn", "askfirst"].contains(&line.action);
    let absent = |word: &str| {
        let name = word.strip_prefix("/dev/").unwrap_or(word);
        let rest = ["tty", "hvc", "xvc", "vc/"].iter().find_map(|prefix| name.strip_prefix(prefix));
        rest.is_some_and(|rest| rest.chars().next_back().is_some_and(|c| c.is_ascii_digit()))
    };
    keeps && (absent(line.id) || line.process.split_whitespace().any(absent))
}

impl Line<'_> {
    /// Whether it talks to the console. With busybox a line without a terminal does.
    fn on_console(&self, flavour: Flavour) -> bool {
        let asks = ["respawn", "askfirst"].contains(&self.action);
        let named = self.id == "console" || self.process.split_whitespace().any(|w| w.ends_with("console"));
        let login = ["getty", "login", "/sh", "ash", "-sh"].iter().any(|word| self.process.contains(word));
        asks && login && (named || flavour == Flavour::Busybox && self.id.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEBIAN: &str = "# comment\nid:2:initdefault:\nsi::sysinit:/etc/init.d/rcS\nl2:2:wait:/etc/init.d/rc 2\n\
        pf::powerwait:/etc/init.d/powerfail start\n1:2345:respawn:/sbin/getty 38400 tty1\n\
        #T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\n";
    const ALPINE: &str = "::sysinit:/sbin/openrc sysinit\n::wait:/sbin/openrc default\n\
        tty1::respawn:/sbin/getty 38400 tty1\n#ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100\n\
        ::ctrlaltdel:/sbin/reboot\n";

    #[test]
    fn dialects_are_told_apart() {
        assert_eq!(Flavour::of(DEBIAN), Flavour::SysV);
        assert_eq!(Flavour::of(ALPINE), Flavour::Busybox);
        assert_eq!(Flavour::of(BUSYBOX_DEFAULT), Flavour::Busybox);
    }

    #[test]
    fn sysvinit_gets_a_console_and_an_answer_to_power() {
        let new = adapt(DEBIAN, Flavour::SysV, Some("/sbin/agetty"), Some("/run-it"));
        assert!(new.contains("\n#1:2345:respawn:/sbin/getty 38400 tty1\n"), "{new}");
        assert!(new.contains("\nl2:2:wait:/etc/init.d/rc 2\n"), "{new}");
        let added = "bc:12345:respawn:/sbin/agetty --noclear 38400 console linux\nbp::powerfail:/sbin/init 0\n\
                     bu:2345:once:/run-it\n";
        assert!(new.ends_with(added), "{new}");
    }

    #[test]
    fn busybox_gets_a_console_and_its_program() {
        let new = adapt(ALPINE, Flavour::Busybox, Some("/sbin/getty"), Some("/run-it"));
        assert!(new.contains("\n#tty1::respawn"), "{new}");
        assert!(new.ends_with("console::respawn:/sbin/getty 38400 console linux\n::once:/run-it\n"), "{new}");
        let bare = adapt(BUSYBOX_DEFAULT, Flavour::Busybox, None, None);
        assert_eq!(bare, format!("{BUSYBOX_DEFAULT}::askfirst:-/bin/sh\n"));
    }

    #[test]
    fn what_is_for_containers_already_stays_as_it_is() {
        let lxc = "::sysinit:/sbin/openrc sysinit\nconsole::respawn:/sbin/getty 38400 console\n";
        assert_eq!(adapt(lxc, Flavour::Busybox, Some("/sbin/getty"), None), lxc);
        let lxc =
            "id:3:initdefault:\nc0:12345:respawn:/sbin/getty 38400 console\np0::powerfail:/sbin/init 0\n";
        assert_eq!(adapt(lxc, Flavour::SysV, Some("/sbin/agetty"), None), lxc);
    }

    proptest! {
        #[test]
        fn nothing_of_the_image_is_lost_and_twice_is_once(lines in prop::collection::vec("[a-z0-9:/# ]{0,30}", 0..12)) {
            let old: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let flavour = Flavour::of(&old);
            let new = adapt(&old, flavour, Some("/sbin/agetty"), None);
            for line in &lines {
                let commented = format!("#{line}");
                prop_assert!(new.lines().any(|l| l == line || l == commented));
            }
            prop_assert_eq!(adapt(&new, flavour, Some("/sbin/agetty"), None), new);
        }
    }
}
