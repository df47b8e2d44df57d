//! A program of the guest's, from a process that has joined it ([`crate::monitor::join`]) to its exec.
//!
//! The process that joined is not in the guest's pid namespace itself; its child is, and is made the monitor's child, so
//! that the monitor sees its end and its own end is the program's. Everything that can fail with a good reason (user,
//! terminal) is done before that child is made. The program gets what PID 1 got: capabilities, system calls, keyring,
//! limits, groups.

use std::convert::Infallible;
use std::ffi::{CString, NulError};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use berth_proto::{ExecSpec, TerminalSize};
use nix::errno::Errno;
use nix::sys::prctl::set_dumpable;
use nix::sys::stat::{Mode, fchmod};
use nix::sys::statfs::fstatfs;
use nix::unistd::{Gid, Uid, chdir, execve, fchown, setgroups, setresgid, setresuid, setsid};

use super::users::User;
use super::{confine, die_with_parent};
use crate::monitor::barrier::{Barrier, Signal};
use crate::monitor::failure::{Failure, Step};
use crate::monitor::join::complain;
use crate::monitor::sys::{
    Forked, close_all_on_exec, fork_sibling, open_terminal, peer_of_pty, resize_terminal, take_terminal,
};
use crate::monitor::tree::Tree;

/// What the kernel calls the file system of terminals.
const DEVPTS: i64 = 0x1cd1;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Begins a program, which may open as many `files` as PID 1; `pipes` are its standard input, output and error if it has
/// no terminal. The monitor is told.
pub(crate) fn launch(
    spec: &ExecSpec,
    pipes: Option<[BorrowedFd<'_>; 3]>,
    monitor: &Barrier,
    files: u64,
) -> Result<i32, Failure> {
    let tree = Tree::of_this_root().step("opening the server's root")?;
    let user = User::find(&tree, spec.user.as_deref()).step("looking for the user")?;
    let command = Command::new(spec, &user).step("preparing the program")?;
    let terminal = spec.tty.map(|size| Terminal::open(&tree, size, &user)).transpose()?;
    drop(tree);
    match fork_sibling().step("making a process in the server")? {
        Forked::Parent { pidfd, .. } => {
            let mut fds = vec![pidfd.as_fd()];
            fds.extend(terminal.as_ref().map(|terminal| terminal.master.as_fd()));
            monitor.send(Signal::Joined, "", &fds).step("handing over the program")?;
            Ok(0)
        }
        Forked::Child => {
            let stdio = match (&terminal, pipes) {
                (Some(terminal), _) => Ok([terminal.slave.as_fd(); 3]),
                (None, Some(pipes)) => Ok(pipes),
                (None, None) => Err(Failure::refused("connecting the program", "it has neither")),
            };
            match stdio.and_then(|stdio| execute(&command, &user, (stdio, terminal.is_some()), files)) {
                Ok(never) => match never {},
                Err(failure) => complain(monitor, &failure),
            }
        }
    }
}

fn execute(
    command: &Command,
    user: &User,
    (stdio, terminal): ([BorrowedFd<'_>; 3], bool),
    files: u64,
) -> Result<Infallible, Failure> {
    die_with_parent()?;
    setsid().step("making a session")?;
    if terminal {
        take_terminal(stdio[0]).step("taking the terminal")?;
    }
    confine::apply(stdio, files)?;
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    setgroups(&groups).step("taking the user's groups")?;
    setresgid(gid, gid, gid).step("taking the user's group")?;
    setresuid(uid, uid, uid).step("becoming the user")?;
    set_dumpable(false).step("hiding from other processes")?;
    die_with_parent()?;
    command.enter_directory()?;
    close_all_on_exec(3).step("closing what the program must not have")?;
    let error = command.execute();
    Err(error).step(format!("running '{}'", command.argv[0].to_string_lossy()))
}

/// A program with everything as the kernel takes it.
#[derive(Debug)]
struct Command {
    /// Where it may be, in order.
    files: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    /// Where it must start.
    directory: Option<String>,
    home: String,
}

impl Command {
    fn new(spec: &ExecSpec, user: &User) -> Result<Self, NulError> {
        let strings = |texts: Vec<String>| texts.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
        let env = environment(spec, user);
        let path = env.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(PATH);
        let name = spec.argv.first().map_or("", String::as_str);
        let files = match name.contains('/') {
            true => vec![name.to_owned()],
            false => path
                .split(':')
                .filter(|dir| dir.starts_with('/'))
                .map(|dir| format!("{dir}/{name}"))
                .collect(),
        };
        Ok(Self {
            files: strings(files)?,
            argv: strings(spec.argv.clone())?,
            env: strings(env)?,
            directory: spec.cwd.clone(),
            home: user.home.clone(),
        })
    }

    fn enter_directory(&self) -> Result<(), Failure> {
        match &self.directory {
            Some(directory) => chdir(directory.as_str()).step(format!("entering {directory}")),
            // A home that is not there is no reason to run nothing; the root directory was entered before.
            None => {
                let _ = chdir(self.home.as_str());
                Ok(())
            }
        }
    }

    /// Returns only when it fails: why.
    fn execute(&self) -> io::Error {
        let mut why = Errno::ENOENT;
        for file in &self.files {
            match execve(file, &self.argv, &self.env) {
                Ok(never) => match never {},
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                // Another directory may have one that can be run.
                Err(Errno::EACCES) => why = Errno::EACCES,
                Err(error) => return error.into(),
            }
        }
        why.into()
    }
}

/// `NAME=value`, what was asked for last.
fn environment(spec: &ExecSpec, user: &User) -> Vec<String> {
    let mut all = std::collections::BTreeMap::from([
        ("PATH", PATH),
        ("HOME", user.home.as_str()),
        ("USER", user.name.as_str()),
        ("LOGNAME", user.name.as_str()),
        ("SHELL", user.shell.as_str()),
        ("container", "berth"),
    ]);
    if spec.tty.is_some() {
        all.insert("TERM", "xterm-256color");
    }
    all.extend(spec.env.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    all.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// A terminal of the guest's own.
#[derive(Debug)]
struct Terminal {
    master: OwnedFd,
    slave: OwnedFd,
}

impl Terminal {
    /// The monitor will read and write the master, so it must be one: a guest can mount anything over `/dev/pts`, and
    /// the files of a FUSE file system could make the monitor wait for ever.
    fn open(tree: &Tree, size: TerminalSize, user: &User) -> Result<Self, Failure> {
        let master = tree.device("/dev/pts/ptmx").step("opening a terminal in /dev/pts")?;
        let kind = fstatfs(&master).step("looking at the terminal")?.filesystem_type().0;
        if kind != DEVPTS {
            return Err(Failure::refused(
                "opening a terminal",
                "the server's /dev/pts is not what it should be",
            ));
        }
        open_terminal(master.as_fd()).step("opening a terminal")?;
        resize_terminal(master.as_fd(), size.cols, size.rows).step("sizing the terminal")?;
        let slave = peer_of_pty(master.as_fd()).step("opening the terminal's other side")?;
        fchown(&slave, Some(Uid::from_raw(user.uid)), None).step("giving away the terminal")?;
        fchmod(&slave, Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IWGRP).step("giving away the terminal")?;
        Ok(Self { master, slave })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        let (home, shell) = ("/home/web".into(), "/bin/bash".into());
        User { name: "web".into(), uid: 1000, gid: 1000, groups: Vec::new(), home, shell }
    }

    #[test]
    fn a_name_is_looked_for_where_the_environment_says_and_a_path_is_not() {
        let files = |argv: &str, path: Option<&str>| {
            let mut spec = ExecSpec { argv: vec![argv.into()], ..ExecSpec::default() };
            spec.env.extend(path.map(|path| ("PATH".to_owned(), path.to_owned())));
            let command = Command::new(&spec, &user()).unwrap();
            command.files.into_iter().map(|file| file.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(files("ls", Some("/a:relative::/b")), ["/a/ls", "/b/ls"]);
        assert_eq!(files("ls", None).first().unwrap(), "/usr/local/sbin/ls");
        assert_eq!(files("./ls", Some("/a")), ["./ls"]);
    }

    #[test]
    fn what_was_asked_for_goes_before_what_is_usual() {
        let mut spec = ExecSpec { argv: vec!["env".into()], ..ExecSpec::default() };
        spec.env.insert("HOME".into(), "/tmp".into());
        spec.env.insert("A".into(), "b=c".into());
        let env = environment(&spec, &user());
        assert!(env.contains(&"HOME=/tmp".into()) && env.contains(&"A=b=c".into()), "{env:?}");
        assert!(env.contains(&"USER=web".into()) && !env.iter().any(|e| e.starts_with("TERM=")), "{env:?}");
        spec.tty = Some(TerminalSize { cols: 80, rows: 24 });
        assert!(environment(&spec, &user()).contains(&"TERM=xterm-256color".into()));
    }
}
