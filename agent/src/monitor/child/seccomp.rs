//! The system calls that a guest may not make.
//!
//! A deny list: a guest is a whole distribution, and programs that nobody thought of must run. What is refused reaches
//! parts of the kernel that no user namespace needs and that have a record of holes. `mount`, `unshare`, `clone` stay:
//! systemd and container engines need them. Refused calls fail with an error; nothing is killed.
//!
//! The filter is assembled here and not with seccompiler, for three reasons: its programs kill a process of another
//! architecture, and 32-bit programs on a 64-bit kernel are ordinary; they know one error number each; and its
//! `apply_filter` always sets `no_new_privs`, with which sudo does not work. On x86-64 the table covers both the native
//! numbers and those of i386, and the third way in, x32, is closed whole.

use crate::monitor::sys::SeccompInsn;

/// What a refused call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// "You may not": for what needs a privilege that guests do not have anyway.
    Perm,
    /// "This kernel does not have it": for calls that programs probe, with a fallback when they are missing.
    Missing,
}

/// A refused call: its number here, its number in the 32-bit ABI of the same machine, the answer, and the reason.
struct Denied {
    native: i64,
    compat: Option<u32>,
    refusal: Refusal,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for readers, and for the test that each line has one")
    )]
    reason: &'static str,
}

const fn deny(native: i64, compat: Option<u32>, refusal: Refusal, reason: &'static str) -> Denied {
    Denied { native, compat, refusal, reason }
}

use Refusal::{Missing, Perm};

/// The policy. Numbers of the second column are those of i386.
const DENIED: &[Denied] = &[
    deny(libc::SYS_kexec_load, Some(283), Perm, "replaces the host's kernel"),
    deny(libc::SYS_kexec_file_load, None, Perm, "replaces the host's kernel"),
    deny(libc::SYS_init_module, Some(128), Perm, "loads code into the host's kernel"),
    deny(libc::SYS_finit_module, Some(350), Perm, "loads code into the host's kernel"),
    deny(libc::SYS_delete_module, Some(129), Perm, "unloads code of the host's kernel"),
    deny(
        libc::SYS_open_by_handle_at,
        Some(342),
        Perm,
        "opens files past all directories; used to escape from containers",
    ),
    deny(
        libc::SYS_syslog,
        Some(103),
        Perm,
        "the kernel's log is the host's, whatever its dmesg_restrict says",
    ),
    deny(libc::SYS_swapon, Some(87), Perm, "swap is the host's"),
    deny(libc::SYS_swapoff, Some(115), Perm, "swap is the host's"),
    deny(libc::SYS_acct, Some(51), Perm, "process accounting is the host's"),
    deny(libc::SYS_settimeofday, Some(79), Perm, "the clock is the host's"),
    deny(libc::SYS_clock_settime, Some(264), Perm, "the clock is the host's"),
    deny(libc::SYS_quotactl, Some(131), Perm, "quotas of the disk's file system are the host's"),
    deny(libc::SYS_lookup_dcookie, Some(253), Perm, "reads kernel state across containers"),
    deny(libc::SYS_perf_event_open, Some(336), Perm, "large surface with a long record of holes"),
    deny(
        libc::SYS_bpf,
        Some(357),
        Perm,
        "large surface; nothing in a user namespace may load programs anyway",
    ),
    deny(
        libc::SYS_userfaultfd,
        Some(374),
        Missing,
        "makes kernel races exploitable; programs have a fallback",
    ),
    deny(
        libc::SYS_io_uring_setup,
        Some(425),
        Missing,
        "large surface with a long record of holes; programs fall back to epoll",
    ),
    deny(libc::SYS_io_uring_enter, Some(426), Missing, "as io_uring_setup"),
    deny(libc::SYS_io_uring_register, Some(427), Missing, "as io_uring_setup"),
    deny(libc::SYS_nfsservctl, Some(169), Missing, "removed from the kernel"),
];

/// Calls that only x86 has.
#[cfg(target_arch = "x86_64")]
const DENIED_HERE: &[Denied] = &[
    deny(libc::SYS_iopl, Some(110), Perm, "direct access to hardware"),
    deny(libc::SYS_ioperm, Some(101), Perm, "direct access to hardware"),
    deny(libc::SYS_uselib, Some(86), Missing, "unused for decades"),
    deny(libc::SYS__sysctl, Some(149), Missing, "removed from the kernel"),
    deny(SYS_CREATE_MODULE, Some(127), Missing, "removed from the kernel"),
    // The 32-bit ABI sets the clock by more ways: stime, and clock_settime64.
    deny(NO_CALL, Some(25), Perm, "the clock is the host's"),
    deny(NO_CALL, Some(404), Perm, "the clock is the host's"),
];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_HERE: &[Denied] = &[];

/// libc no longer names it.
#[cfg(target_arch = "x86_64")]
const SYS_CREATE_MODULE: i64 = 174;
/// Where only one of the two ABIs has a call.
#[cfg(target_arch = "x86_64")]
const NO_CALL: i64 = -1;

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xC000_003E;
#[cfg(target_arch = "x86_64")]
const COMPAT: Option<u32> = Some(0x4000_0003);
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xC000_00B7;
// 32-bit ARM programs get "no such call" for everything: few servers can run them at all.
#[cfg(target_arch = "aarch64")]
const COMPAT: Option<u32> = None;

/// `socket` of the 32-bit ABI. Its other way, `socketcall`, has its arguments in memory, which no filter can look at.
const COMPAT_SOCKET: u32 = 359;
const NATIVE_SOCKET: u32 = libc::SYS_socket as u32;
/// Not divided by network namespaces: with it a guest reaches the machine below a virtual host, and what listens there.
const FAMILY_VSOCK: u32 = 40;

const RET_ALLOW: u32 = 0x7fff_0000;
const RET_ERRNO: u32 = 0x0005_0000;
const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_ABOVE_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCH: u32 = 4;
/// The low half of the first argument.
const OFFSET_FIRST: u32 = if cfg!(target_endian = "big") { 20 } else { 16 };
/// Bit that marks calls of the x32 ABI, which have the native architecture.
const X32: u32 = 0x4000_0000;

/// The filter as a program for the kernel.
pub(crate) fn program() -> Vec<SeccompInsn> {
    let native = section(NATIVE_SOCKET, |denied| u32::try_from(denied.native).ok());
    let compat = section(COMPAT_SOCKET, |denied| denied.compat);
    let mut program = vec![insn(LOAD, 0, 0, OFFSET_ARCH)];
    // Each section begins with its own architecture test, skipping one instruction (a return) when it matches.
    program.push(insn(JUMP_EQUAL, 0, u8::try_from(native.len() + 3).expect("the table is short"), NATIVE));
    program.push(insn(LOAD, 0, 0, OFFSET_NUMBER));
    program.push(insn(JUMP_ABOVE_OR_EQUAL, 0, 1, if cfg!(target_arch = "x86_64") { X32 } else { u32::MAX }));
    program.push(answer(Missing));
    program.extend(native);
    if let Some(arch) = COMPAT {
        program.push(insn(JUMP_EQUAL, 1, 0, arch));
        program.push(answer(Missing));
        program.push(insn(LOAD, 0, 0, OFFSET_NUMBER));
        program.extend(compat);
    } else {
        program.push(answer(Missing));
    }
    program
}

/// Compares the loaded number with every number of one ABI, and ends.
fn section(socket: u32, number: impl Fn(&Denied) -> Option<u32>) -> Vec<SeccompInsn> {
    let mut section = Vec::new();
    for denied in DENIED.iter().chain(DENIED_HERE) {
        if let Some(number) = number(denied) {
            section.push(insn(JUMP_EQUAL, 0, 1, number));
            section.push(answer(denied.refusal));
        }
    }
    section.extend([
        insn(JUMP_EQUAL, 0, 3, socket),
        insn(LOAD, 0, 0, OFFSET_FIRST),
        insn(JUMP_EQUAL, 0, 1, FAMILY_VSOCK),
        insn(RETURN, 0, 0, RET_ERRNO | libc::EAFNOSUPPORT.unsigned_abs()),
        insn(RETURN, 0, 0, RET_ALLOW),
    ]);
    section
}

fn answer(refusal: Refusal) -> SeccompInsn {
    let errno = match refusal {
        Perm => libc::EPERM,
        Missing => libc::ENOSYS,
    };
    insn(RETURN, 0, 0, RET_ERRNO | errno.unsigned_abs())
}

const fn insn(code: u16, jt: u8, jf: u8, k: u32) -> SeccompInsn {
    SeccompInsn { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the kernel would do: a tiny interpreter of the four instructions.
    fn verdict(arch: u32, number: u32) -> u32 {
        verdict_with(arch, number, 0)
    }

    fn verdict_with(arch: u32, number: u32, first: u32) -> u32 {
        let program = program();
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let SeccompInsn { code, jt, jf, k } = program[at];
            at += 1;
            match code {
                LOAD => {
                    accumulator = match k {
                        OFFSET_ARCH => arch,
                        OFFSET_NUMBER => number,
                        OFFSET_FIRST => first,
                        other => panic!("unknown field {other}"),
                    }
                }
                JUMP_EQUAL => at += usize::from(if accumulator == k { jt } else { jf }),
                JUMP_ABOVE_OR_EQUAL => at += usize::from(if accumulator >= k { jt } else { jf }),
                RETURN => return k,
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    fn expected(number: impl Fn(&Denied) -> Option<u32>, wanted: u32) -> u32 {
        let mut all = DENIED.iter().chain(DENIED_HERE);
        all.find(|d| number(d) == Some(wanted)).map_or(RET_ALLOW, |d| answer(d.refusal).k)
    }

    proptest! {
        #[test]
        fn native_calls_follow_the_table(number in 0_u32..600) {
            prop_assert_eq!(verdict(NATIVE, number), expected(|d| u32::try_from(d.native).ok(), number));
        }

        #[test]
        fn compat_calls_follow_the_table(number in 0_u32..600) {
            if let Some(arch) = COMPAT {
                prop_assert_eq!(verdict(arch, number), expected(|d| d.compat, number));
            }
        }

        #[test]
        fn other_architectures_have_no_calls(arch: u32, number: u32) {
            prop_assume!(arch != NATIVE && Some(arch) != COMPAT);
            prop_assert_eq!(verdict(arch, number), RET_ERRNO | libc::ENOSYS.unsigned_abs());
        }
    }

    #[test]
    fn sockets_of_one_family_are_refused_and_no_others() {
        let refused = RET_ERRNO | libc::EAFNOSUPPORT.unsigned_abs();
        for (arch, socket) in [(Some(NATIVE), NATIVE_SOCKET), (COMPAT, COMPAT_SOCKET)] {
            let Some(arch) = arch else { continue };
            for family in 0..64 {
                let expected = if family == FAMILY_VSOCK { refused } else { RET_ALLOW };
                assert_eq!(verdict_with(arch, socket, family), expected);
            }
            assert_eq!(verdict_with(arch, socket + 1, FAMILY_VSOCK), RET_ALLOW);
        }
    }

    #[test]
    fn the_way_round_by_x32_is_closed() {
        if cfg!(target_arch = "x86_64") {
            let kexec = u32::try_from(libc::SYS_kexec_load).unwrap();
            assert_eq!(verdict(NATIVE, X32 | kexec), RET_ERRNO | libc::ENOSYS.unsigned_abs());
            assert_eq!(verdict(NATIVE, X32), RET_ERRNO | libc::ENOSYS.unsigned_abs());
        }
    }

    #[test]
    fn what_systemd_needs_is_allowed() {
        for call in [libc::SYS_mount, libc::SYS_unshare, libc::SYS_clone3, libc::SYS_keyctl, libc::SYS_setns]
        {
            assert_eq!(verdict(NATIVE, u32::try_from(call).unwrap()), RET_ALLOW);
        }
    }

    #[test]
    fn every_line_has_a_reason() {
        for denied in DENIED.iter().chain(DENIED_HERE) {
            assert!(!denied.reason.is_empty());
        }
    }
}
