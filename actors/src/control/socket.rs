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
    let mut bound = Socket::bind(&spec.socket);
    if let (true, Err(SocketError::Refused { cause, .. })) = (spec.is_default, &bound)
        && cause.kind() == io::ErrorKind::NotFound
        && make_folder_of(&spec.socket)
    {
        bound = Socket::bind(&spec.socket);
    }
    let first = match bound {
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

/// Where a client finds the socket that `bind_as_configured` has made.
pub fn where_it_answers(spec: &ControlSpec) -> PathBuf {
    let answers = |path: &Path| matches!(sys::is_listened_to(path), Ok(true));
    if spec.is_default && !answers(&spec.socket) {
        let fallback = fallback_path();
        // Who listens in somebody else's folder may be anybody.
        if fallback.parent().is_some_and(|folder| is_ours_alone(folder).is_ok()) && answers(&fallback) {
            return fallback;
        }
    }
    spec.socket.clone()
}

/// An image made from nothing has no `/var/run`. Whether there is one now.
fn make_folder_of(socket: &Path) -> bool {
    socket.parent().is_some_and(|folder| fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).is_ok())
}

/// Makes a folder for us alone; in `/tmp` somebody else might have been faster.
fn own_folder(folder: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(cause),
        Ok(()) | Err(_) => {}
    }
    is_ours_alone(folder)
}

fn is_ours_alone(folder: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(folder)?;
    let ours = found.is_dir() && found.uid() == sys::user_id() && found.permissions().mode() & 0o077 == 0;
    if ours { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    #[test]
    fn the_folder_of_the_default_place_is_made_and_no_other() {
        let place = std::env::temp_dir().join(format!("containerpilot-default-socket-{}", std::process::id()));
        let mut spec = ControlSpec { socket: place.join("var/run/socket"), is_default: false };
        assert!(bind_as_configured(&spec).is_err() && !place.exists());
        spec.is_default = true;
        let (socket, _listener, first) = bind_as_configured(&spec).unwrap();
        assert!(socket.path() == spec.socket && first.is_none());
        drop(socket);
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn a_folder_is_ours_alone_or_not_used() {
        let place = std::env::temp_dir().join(format!("containerpilot-socket-{}", std::process::id()));
        fs::create_dir(&place).unwrap();
        let folder = place.join("folder");
        own_folder(&folder).unwrap();
        own_folder(&folder).unwrap();
        let set_mode = |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o755, 0o710, 0o702] {
            set_mode(mode);
            assert!(own_folder(&folder).is_err(), "{mode:o}");
        }
        set_mode(0o700);
        symlink(&folder, place.join("link")).unwrap();
        assert!(own_folder(&place.join("link")).is_err());
        fs::write(place.join("file"), "").unwrap();
        assert!(own_folder(&place.join("file")).is_err());
        // Only root can give it away, and does not use it then either.
        if chown(&folder, Some(1), None).is_ok() {
            assert!(own_folder(&folder).is_err());
        }
        fs::remove_dir_all(place).unwrap();
    }
}
