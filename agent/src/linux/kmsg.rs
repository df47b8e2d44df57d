//! Who was killed when memory ran out, read from the kernel's log: counters say only how many.
//!
//! A guest chooses the names of its processes and of the groups below its own, and both stand in the line. So the line is
//! believed only for what the guest cannot forge: it must begin as the kernel's own facility begins it, and the first
//! absolute path in it is that of a group whose first two parts are ours (a name has no slash in it). The pid and uid at
//! the end are digits, so what stands between is the name. The kernel writes few such lines a second; those that it
//! leaves out are told without a name, by the counter.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

/// A line that says who was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kill {
    /// The group whose memory it was, and what follows it in the line.
    pub(super) group: String,
    /// The process's name, control characters replaced.
    pub(super) victim: String,
    /// The process in the kernel's own numbering.
    pub(super) pid: i32,
}

/// The log from now on, not waited for.
pub(super) fn open() -> io::Result<File> {
    use std::io::{Seek as _, SeekFrom};
    let mut log = File::options().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
    log.seek(SeekFrom::End(0))?;
    Ok(log)
}

/// Reads what has come since the last time; false when there is nothing more for now.
pub(super) fn next(mut log: &File) -> Option<Option<Kill>> {
    let mut line = [0; 8192]; // the kernel's longest
    match log.read(&mut line) {
        Ok(0) => None,
        Ok(n) => Some(parse(&line[..n])),
        // Lines were overwritten before they were read; the next read gives the oldest that is there.
        Err(e) if e.raw_os_error() == Some(libc::EPIPE) => Some(None),
        Err(_) => None,
    }
}

/// Reads `<priority>,<sequence>,<time>,<flags>;oom-kill:constraint=…`.
fn parse(line: &[u8]) -> Option<Kill> {
    let text = String::from_utf8_lossy(line);
    let (prefix, text) = text.split_once(';')?;
    let priority: u32 = prefix.split(',').next()?.parse().ok()?;
    let from_kernel = priority >> 3 == 0;
    let text = text.lines().next()?.strip_prefix("oom-kill:constraint=").filter(|_| from_kernel)?;
    let paths = [",oom_memcg=/", ",global_oom,task_memcg=/"];
    let (at, mark) = paths.iter().filter_map(|mark| Some((text.find(mark)?, mark))).min()?;
    let group = &text[at + mark.len() - 1..];
    let (rest, uid) = text.rsplit_once(",uid=")?;
    let (rest, pid) = rest.rsplit_once(",pid=")?;
    let (_, name) = rest.rsplit_once(",task=")?;
    uid.trim().parse::<i64>().ok()?; // the kernel writes ids from 2^31 on, which guests have, as negative numbers
    Some(Kill { group: group.to_owned(), victim: name_of(name), pid: pid.parse().ok()? })
}

/// The log writes bytes that it does not like as `\xNN`.
fn name_of(escaped: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = escaped.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.strip_prefix(b"x").and_then(|hex| std::str::from_utf8(hex.get(..2)?).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *first == b'\\') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes.truncate(15);
    String::from_utf8_lossy(&bytes).replace(char::is_control, "\u{fffd}")
}

/// The number of a process inside its own pid namespace, while there still is something of it.
pub(super) fn pid_inside(pid: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace();
    let (outside, inside) = (numbers.next()?, numbers.next()?);
    (outside.parse() == Ok(pid)).then(|| inside.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kill(text: &str) -> Option<(String, String, i32)> {
        parse(format!("6,421,679807237,-;{text}\n").as_bytes()).map(|k| (k.group, k.victim, k.pid))
    }

    #[test]
    fn a_kill_names_its_group_and_its_victim() {
        let line = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/berth/7,\
                    task_memcg=/berth/7/guest/a.slice,task=python3,pid=21015,uid=100000";
        let (group, victim, pid) = kill(line).unwrap();
        assert!(group.starts_with("/berth/7,"), "{group}");
        assert_eq!((victim.as_str(), pid), ("python3", 21015));
        let global = "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=guest,mems_allowed=0,global_oom,\
                      task_memcg=/berth/7/guest,task=x y,pid=5,uid=0";
        assert_eq!(kill(global).unwrap().1, "x y");
        let large =
            "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/berth/7,task=perl,pid=21543,uid=-1221328896";
        assert_eq!(kill(large).unwrap().1, "perl");
    }

    #[test]
    fn names_of_a_guest_forge_nothing() {
        let cpuset = "a,mems_allowed=0,oom_memcg=berth,oom_memcg=";
        let name = "b,pid=1,uid=0";
        let group = "/berth/7/guest/x,oom_memcg=/berth/8,task_memcg=/berth/8,task=y,pid=1,uid=0";
        let line = format!(
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset={cpuset},mems_allowed=0,oom_memcg={group},\
             task_memcg={group},task={name},pid=77,uid=100000"
        );
        let (group, victim, pid) = kill(&line).unwrap();
        assert!(group.starts_with("/berth/7/"), "{group}");
        assert_eq!((victim.as_str(), pid), (name, 77));
        let hostile =
            "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/berth/7,task=a\\x0ab\\x1b\\xff\\,pid=7,uid=1";
        assert_eq!(kill(hostile).unwrap().1, "a\u{fffd}b\u{fffd}\u{fffd}\\");
    }

    #[test]
    fn what_is_no_such_line_is_left_out() {
        for text in [
            "",
            "oom-kill:constraint=",
            "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/berth/7",
            "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/berth/7,task=a,pid=x,uid=0",
            "sh oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/berth/7,task=a,pid=1,uid=0",
        ] {
            assert_eq!(kill(text), None, "{text}");
        }
        // What a program of the host writes there is of another facility.
        let line = "12,5,6,-;oom-kill:constraint=X,oom_memcg=/berth/7,task=a,pid=1,uid=0";
        assert_eq!(parse(line.as_bytes()), None);
        assert_eq!(parse(b"no semicolon"), None);
    }
}
