//! What a disk's errors mean, in words that say what to do next.

use std::io;

use rustix::io::Errno;

/// An I/O error in words.
pub fn words(err: &io::Error) -> String {
    let known = err.raw_os_error().map(Errno::from_raw_os_error);
    let text = match known {
        Some(Errno::NOSPC) => "the file system is full",
        Some(Errno::DQUOT) => "the quota of this user or project is used up",
        Some(Errno::ROFS) => {
            "the file system is read-only; the kernel makes it so after an error of the disk: look at `dmesg`"
        }
        Some(Errno::IO) => {
            "the device reported an I/O error: look at `dmesg`, and do not trust this disk"
        }
        Some(Errno::NOENT) => "it is not there (any more)",
        Some(Errno::STALE) => "the directory vanished from its server",
        Some(Errno::NODEV | Errno::NXIO) => "the device is gone",
        Some(Errno::NOTDIR) => "it is no directory",
        Some(Errno::ACCESS | Errno::PERM) => "this user may not write there",
        Some(Errno::FBIG) => {
            "the file system or a limit of this process (`ulimit -f`) does not allow files as long"
        }
        Some(Errno::NFILE | Errno::MFILE) => "too many files are open",
        _ => return err.to_string(),
    };
    text.to_owned()
}

/// Whether an error tells that the device itself failed, and not that it is full or closed to us. A
/// file system turns read-only under a bench when its disk failed.
pub fn of_device(err: &io::Error) -> bool {
    let known = err.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        known,
        Some(Errno::IO | Errno::ROFS | Errno::NODEV | Errno::NXIO)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_what_it_means() {
        for (errno, part) in [
            (libc::ENOSPC, "is full"),
            (libc::EDQUOT, "quota"),
            (libc::EROFS, "read-only"),
            (libc::EIO, "I/O error"),
            (libc::ENOENT, "not there"),
            (libc::ENODEV, "is gone"),
        ] {
            let text = words(&io::Error::from_raw_os_error(errno));
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(words(&io::Error::other("odd")), "odd");
        let failed = |errno| of_device(&io::Error::from_raw_os_error(errno));
        assert!(failed(libc::EIO) && failed(libc::EROFS) && !failed(libc::ENOSPC));
    }
}
