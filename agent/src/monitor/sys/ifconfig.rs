//! Interface, address and route ioctls. The monitor's child sets four things once; a netlink library would be larger
//! than the rest of the monitor.
#![expect(unsafe_code, reason = "ioctls without a wrapper in std or nix")]

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

const RTF_UP: u16 = 1;
const RTF_GATEWAY: u16 = 2;
const RTF_HOST: u16 = 4;

/// `struct rtentry`.
#[repr(C)]
struct RouteEntry {
    pad1: libc::c_ulong,
    dst: libc::sockaddr_in,
    gateway: libc::sockaddr_in,
    genmask: libc::sockaddr_in,
    flags: u16,
    pad2: i16,
    pad3: libc::c_ulong,
    pad4: *mut libc::c_void,
    metric: i16,
    dev: *const libc::c_char,
    mtu: libc::c_ulong,
    window: libc::c_ulong,
    irtt: u16,
}

/// What an interface with one routed address needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InterfaceConfig {
    /// The address, a /32.
    pub(crate) address: Ipv4Addr,
    /// The gateway, on the link though no prefix says so.
    pub(crate) gateway: Ipv4Addr,
}

/// Brings `lo` and, if there is one, `eth0` up in this process's network namespace, with address and routes.
pub(crate) fn configure_interface(config: Option<InterfaceConfig>) -> io::Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    up(&socket, "lo")?;
    let Some(config) = config else { return Ok(()) };
    let name = "eth0";
    let mut request = request(name);
    request.ifr_ifru.ifru_addr = generic(config.address);
    ioctl(&socket, libc::SIOCSIFADDR, &raw const request)?;
    request.ifr_ifru.ifru_netmask = generic(Ipv4Addr::BROADCAST);
    ioctl(&socket, libc::SIOCSIFNETMASK, &raw const request)?;
    up(&socket, name)?;
    route(&socket, c"eth0", config.gateway, Ipv4Addr::BROADCAST, None)?;
    route(&socket, c"eth0", Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, Some(config.gateway))
}

fn up(socket: &OwnedFd, name: &str) -> io::Result<()> {
    let mut request = request(name);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    ioctl(socket, libc::SIOCSIFFLAGS, &raw const request)
}

fn route(
    socket: &OwnedFd,
    dev: &std::ffi::CStr,
    dst: Ipv4Addr,
    mask: Ipv4Addr,
    via: Option<Ipv4Addr>,
) -> io::Result<()> {
    let host = if mask == Ipv4Addr::BROADCAST { RTF_HOST } else { 0 };
    let gateway = if via.is_some() { RTF_GATEWAY } else { 0 };
    let entry = RouteEntry {
        pad1: 0,
        dst: inet(dst),
        gateway: inet(via.unwrap_or(Ipv4Addr::UNSPECIFIED)),
        genmask: inet(mask),
        flags: RTF_UP | host | gateway,
        pad2: 0,
        pad3: 0,
        pad4: std::ptr::null_mut(),
        metric: 0,
        dev: dev.as_ptr(),
        mtu: 0,
        window: 0,
        irtt: 0,
    };
    ioctl(socket, libc::SIOCADDRT, &raw const entry)
}

fn request(name: &str) -> libc::ifreq {
    // SAFETY: zero is valid for every member of the union.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()).take(libc::IFNAMSIZ - 1) {
        *to = from as libc::c_char;
    }
    request
}

fn inet(address: Ipv4Addr) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
        sin_zero: [0; 8],
    }
}

fn generic(address: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: both are plain bytes of the same size; sockaddr is the generic form of sockaddr_in.
    unsafe { std::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(inet(address)) }
}

fn ioctl<T>(socket: &OwnedFd, request: libc::c_ulong, argument: *const T) -> io::Result<()> {
    // SAFETY: every caller passes the structure that this request takes, alive during the call; the kernel only reads.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), request, argument) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
