//! The system calls that neither std nor nix has, one small safe function for each.
//!
//! All `unsafe` code of the runtime is in this directory. Nothing here decides anything.

mod ifconfig;
mod loopdev;
mod mount;
mod process;
mod pty;

pub(crate) use ifconfig::{InterfaceConfig, configure_interface};
pub(crate) use loopdev::{LoopControl, configure_loop, grow_fs, refresh_size, shut_down_fs};
pub(crate) use mount::{FsContext, MountFlags, clone_mount, idmap_mount, move_mount, move_mount_onto};
pub(crate) use process::{
    Clone3, Forked, SeccompInsn, alarm, clone3, close_all_but, close_all_on_exec, close_from,
    drop_bounding_capability, exit_now, fork, fork_sibling, install_seccomp, is_pending, new_session_keyring,
    pidfd_open, pidfd_send_signal, reset_signals, set_nice,
};
pub(crate) use pty::{open_terminal, peer_of_pty, resize_terminal, take_terminal, unread_bytes};
