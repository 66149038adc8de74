//! The control socket's file: made, taken over from the dead, and removed if it is still ours.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::spec::ControlSpec;
use crate::sys;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A file of another kind is in the way.
    #[error("cannot make the control socket `{}`: something that is no socket is in its place", .0.display())]
    InTheWay(PathBuf),
    /// Another process answers there.
    #[error("cannot make the control socket `{}`: another process listens there", .0.display())]
    Taken(PathBuf),
    /// The operating system refused.
    #[error("cannot make the control socket `{}`: {cause}", .path.display())]
    Refused {
        /// Where.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

/// A socket that is ours. Its file goes with it.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Socket {
    /// Makes the file, in place of a stale one.
    pub fn bind(path: &Path) -> Result<(Self, UnixListener), SocketError> {
        let refused = |cause| SocketError::Refused { path: path.to_owned(), cause };
        let listener = match sys::bind_unix(path) {
            Err(cause) if cause.kind() == io::ErrorKind::AddrInUse => {
                make_way(path)?;
                sys::bind_unix(path).map_err(refused)?
            }
            bound => bound.map_err(refused)?,
        };
        let file = fs::symlink_metadata(path).map_err(refused)?;
        Ok((Self { path: path.to_owned(), device: file.dev(), inode: file.ino() }, listener))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours =
            fs::symlink_metadata(&self.path).is_ok_and(|file| file.dev() == self.device && file.ino() == self.inode);
        // What somebody has removed already needs no removal.
        if ours && fs::remove_file(&self.path).is_err() {}
    }
}

/// Removes a socket that nobody listens to; anything else stays.
fn make_way(path: &Path) -> Result<(), SocketError> {
    let refused = |cause| SocketError::Refused { path: path.to_owned(), cause };
    let file = fs::symlink_metadata(path).map_err(refused)?;
    if !file.file_type().is_socket() {
        return Err(SocketError::InTheWay(path.to_owned()));
    }
    if sys::is_listened_to(path).map_err(refused)? {
        return Err(SocketError::Taken(path.to_owned()));
    }
    fs::remove_file(path).map_err(refused)
}

/// Where the socket is, if its default place cannot be had: in a folder that is ours alone.
pub fn fallback_path() -> PathBuf {
    let user = sys::user_id();
    PathBuf::from(format!("/tmp/containerpilot-{user}/containerpilot.socket"))
}

/// Makes the socket where the config wants it or, if it does not say where, where one can be made. The error that
/// led to the second choice is returned, too.
pub fn bind_as_configured(spec: &ControlSpec) -> Result<(Socket, UnixListener, Option<SocketError>), SocketError> {
    let first = match Socket::bind(&spec.socket) {
        Ok((socket, listener)) => return Ok((socket, listener, None)),
        Err(first) => first,
    };
    // Where another instance listens, its clients would find the wrong one.
    if !spec.is_default || matches!(first, SocketError::Taken(_)) {
        return Err(first);
    }
    let fallback = fallback_path();
    let is_safe = fallback.parent().is_some_and(|folder| own_folder(folder).is_ok());
    if is_safe && let Ok((socket, listener)) = Socket::bind(&fallback) {
        return Ok((socket, listener, Some(first)));
    }
    Err(first)
}

/// Makes a folder for us alone; in `/tmp` somebody else might have been faster.
fn own_folder(folder: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(cause),
        Ok(()) | Err(_) => {}
    }
    let found = fs::symlink_metadata(folder)?;
    let ours = found.is_dir() && found.uid() == sys::user_id() && found.permissions().mode() & 0o077 == 0;
    if ours { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}
