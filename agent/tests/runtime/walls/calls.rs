//! System calls that a guest may not make, by each of the doors into the kernel that an x86-64 machine has.

use std::fmt::Write as _;
use std::process::Command;

use base64::Engine as _;
use berth_proto::VpsId;

use super::as_a_service;
use crate::world::World;

/// Marks a number of the x32 ABI.
const X32: u32 = 0x4000_0000;

/// The attack's name in SECURITY.md, its calls by their numbers on x86-64, and the error that they give.
pub(super) const CALLS: &[(&str, &[u32], i32)] = &[
    ("replacing the kernel (kexec)", &[246, 320], libc::EPERM),
    ("loading kernel modules", &[175, 176, 313], libc::EPERM),
    ("open_by_handle_at (shocker)", &[304], libc::EPERM),
    ("bpf", &[321], libc::EPERM),
    ("perf_event_open", &[298], libc::EPERM),
    ("userfaultfd", &[323], libc::ENOSYS),
    ("io_uring", &[425, 426, 427], libc::ENOSYS),
    ("the kernel's log by syslog(2)", &[103], libc::EPERM),
    ("swap, accounting, clock and quotas by their calls", &[163, 164, 167, 168, 179, 227], libc::EPERM),
    ("ports of the hardware", &[172, 173], libc::EPERM),
    ("state of the kernel by lookup_dcookie", &[212], libc::EPERM),
    (
        "the same calls by the x32 ABI",
        &[X32 + 39, X32 + 175, X32 + 304, X32 + 321, X32 + 425, X32 + 528],
        libc::ENOSYS,
    ),
];

/// The attack's name in SECURITY.md.
pub(super) const BY_32_BITS: &str = "the same calls by the 32-bit ABI";
/// Likewise.
pub(super) const VSOCK: &str = "services of the machine below by AF_VSOCK";

pub(super) fn are_refused(world: &World, id: VpsId) {
    let mut script = String::from(
        "sub call { $! = 0; print syscall(shift, 0, 0, 0, 0, 0) < 0 ? $!+0 : \"ok\", \"\\n\" }\n",
    );
    let numbers =
        || CALLS.iter().flat_map(|(name, numbers, error)| numbers.iter().map(move |n| (name, n, error)));
    // getpid first, to see that this can tell.
    for number in std::iter::once(&39).chain(numbers().map(|(_, number, _)| number)) {
        writeln!(script, "call({number});").unwrap();
    }
    writeln!(script, "$! = 0; print socket(my $s, 40, 1, 0) ? \"ok\" : $!+0, \"\\n\";").unwrap();
    let said = as_a_service(world, id, &format!("perl <<'END'\n{script}\nEND"));
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("ok"), "{said}");
    for (name, number, error) in numbers() {
        assert_eq!(lines.next(), Some(error.to_string().as_str()), "{name}: call {number:#x}\n{said}");
    }
    assert_eq!(lines.next(), Some(libc::EAFNOSUPPORT.to_string().as_str()), "{VSOCK}\n{said}");
}

/// A 64-bit program may enter the kernel by its 32-bit door, where calls have other numbers.
pub(super) fn of_32_bits_are_refused(world: &World, id: VpsId) {
    let source = r#"
        static long call(long n, long a, long b) { long r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(n), "b"(a), "c"(b), "d"(0) : "memory", "r8", "r9", "r10", "r11"); return r; }
        static const struct { int number, error; } calls[] = {
            {283, 1}, {128, 1}, {350, 1}, {129, 1},          /* kexec_load, init_module, finit_module, delete_module */
            {342, 1}, {357, 1}, {336, 1},                    /* open_by_handle_at, bpf, perf_event_open */
            {374, 38}, {425, 38}, {426, 38}, {427, 38},      /* userfaultfd, io_uring */
            {103, 1}, {87, 1}, {115, 1}, {51, 1}, {131, 1},  /* syslog, swapon, swapoff, acct, quotactl */
            {79, 1}, {264, 1}, {404, 1}, {25, 1},            /* settimeofday, clock_settime by two numbers, stime */
            {110, 1}, {101, 1}, {253, 1},                    /* iopl, ioperm, lookup_dcookie */
        };
        void _start(void) {
            long code = 0;
            if (call(20, 0, 0) <= 0) code = 100;             /* getpid, to see that the door is there */
            for (int i = 0; !code && i < sizeof calls / sizeof *calls; i++)
                if (call(calls[i].number, 0, 0) != -calls[i].error) code = i + 1;
            if (!code && call(359, 40, 1) != -97) code = 101; /* socket of AF_VSOCK */
            __asm__ volatile("syscall" : : "a"(60), "D"(code));
        }"#;
    let program = world.dir.join("door");
    std::fs::write(program.with_extension("c"), source).unwrap();
    let status = Command::new("cc")
        .args(["-O1", "-static", "-nostdlib", "-fno-stack-protector", "-o"])
        .args([&program, &program.with_extension("c")])
        .status()
        .unwrap();
    assert!(status.success());
    let bytes = base64::prelude::BASE64_STANDARD.encode(std::fs::read(&program).unwrap());
    world.in_guest(id, &format!("echo {bytes} | base64 -d > /root/door && chmod 755 /root/door"));
    assert_eq!(
        as_a_service(world, id, "/root/door; echo $?"),
        "0",
        "which line of the table was not refused"
    );
}
