//! What an NVMe controller says of its own write cache and in its log pages: read-only admin
//! commands.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// `_IOWR('N', 0x41, struct nvme_passthru_cmd)` (linux/nvme_ioctl.h).
const NVME_IOCTL_ADMIN_CMD: libc::c_ulong = 0xC048_4E41;
/// Get Log Page.
const GET_LOG_PAGE: u8 = 0x02;
/// Identify (NVM Express base specification, admin commands).
const IDENTIFY: u8 = 0x06;
/// Get Features.
const GET_FEATURES: u8 = 0x0A;
/// Feature 06h: Volatile Write Cache.
const VOLATILE_WRITE_CACHE: u32 = 0x06;
/// A controller that does not answer at once is left alone.
const TIMEOUT_MS: u32 = 1_000;

/// Bytes of the answer to Identify.
pub const IDENTIFY_LEN: usize = 4096;

/// `struct nvme_passthru_cmd` of linux/nvme_ioctl.h.
#[repr(C)]
#[derive(Debug, Default)]
struct Command {
    opcode: u8,
    flags: u8,
    reserved: u16,
    nsid: u32,
    cdw2: u32,
    cdw3: u32,
    metadata: u64,
    addr: u64,
    metadata_len: u32,
    data_len: u32,
    cdw10: u32,
    cdw11: u32,
    cdw12: u32,
    cdw13: u32,
    cdw14: u32,
    cdw15: u32,
    timeout_ms: u32,
    result: u32,
}

/// A controller's write cache, as it describes it itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteCache {
    /// Whether it has a volatile one.
    pub present: bool,
    /// Whether that is switched on; `None` where it did not say.
    pub enabled: Option<bool>,
}

impl WriteCache {
    /// Whether data that was acknowledged can be lost with the power unless it is flushed.
    pub fn is_volatile(self) -> bool {
        self.present && self.enabled != Some(false)
    }
}

/// Byte 525 of Identify Controller, bit 0: a volatile write cache is present. `None` when the answer is too short or all
/// zeroes, as from a device that only pretends.
pub fn present_in_identify(data: &[u8]) -> Option<bool> {
    let vwc = data.get(525)?;
    data.iter().any(|byte| *byte != 0).then_some(vwc & 1 == 1)
}

/// Bit 0 of the answer to Get Features 06h: the cache is enabled.
pub fn enabled_in_feature(result: u32) -> bool {
    result & 1 == 1
}

/// Asks a controller (`/dev/nvme0`). Changes nothing; needs to be root. `None` where it does not answer.
pub fn write_cache(controller: &File) -> Option<WriteCache> {
    let mut data = vec![0u8; IDENTIFY_LEN];
    let mut identify = Command {
        opcode: IDENTIFY,
        addr: data.as_mut_ptr() as u64,
        data_len: u32::try_from(IDENTIFY_LEN).ok()?,
        // CNS 01h: the controller itself.
        cdw10: 1,
        timeout_ms: TIMEOUT_MS,
        ..Command::default()
    };
    // SAFETY: the command is a live struct of the layout that the kernel expects, and `addr` and `data_len` describe a
    // buffer of ours that outlives the call.
    let status = unsafe {
        libc::ioctl(
            controller.as_raw_fd(),
            NVME_IOCTL_ADMIN_CMD as _,
            &raw mut identify,
        )
    };
    if status != 0 {
        return None;
    }
    let present = present_in_identify(&data)?;
    if !present {
        return Some(WriteCache {
            present,
            enabled: None,
        });
    }
    let mut feature = Command {
        opcode: GET_FEATURES,
        cdw10: VOLATILE_WRITE_CACHE,
        timeout_ms: TIMEOUT_MS,
        ..Command::default()
    };
    // SAFETY: as above; this command moves no data.
    let status = unsafe {
        libc::ioctl(
            controller.as_raw_fd(),
            NVME_IOCTL_ADMIN_CMD as _,
            &raw mut feature,
        )
    };
    Some(WriteCache {
        present,
        enabled: (status == 0).then(|| enabled_in_feature(feature.result)),
    })
}

/// Reads a log page of the first namespace. Changes nothing; needs to be root. `bytes` is a
/// multiple of four up to 4096.
pub fn log_page(device: &File, page: u8, bytes: usize) -> io::Result<Vec<u8>> {
    let mut data = vec![0u8; bytes.clamp(4, 4096) & !3];
    let length = u32::try_from(data.len()).map_err(io::Error::other)?;
    let mut command = Command {
        opcode: GET_LOG_PAGE,
        nsid: 1,
        addr: data.as_mut_ptr() as u64,
        data_len: length,
        // Dwords, counted from zero, above the page's number.
        cdw10: u32::from(page) | ((length / 4 - 1) << 16),
        timeout_ms: TIMEOUT_MS,
        ..Command::default()
    };
    // SAFETY: as above: a live struct of the kernel's layout, and a buffer of ours of `data_len`
    // bytes that outlives the call.
    let status = unsafe {
        libc::ioctl(
            device.as_raw_fd(),
            NVME_IOCTL_ADMIN_CMD as _,
            &raw mut command,
        )
    };
    match status {
        0 => Ok(data),
        // A status of the device itself: it has no such page.
        1.. => Err(io::Error::other(format!(
            "the device refuses: NVMe status {status:#x}"
        ))),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_has_the_kernels_layout() {
        assert_eq!(std::mem::size_of::<Command>(), 72);
        assert_eq!(std::mem::offset_of!(Command, addr), 24);
        assert_eq!(std::mem::offset_of!(Command, cdw10), 40);
        assert_eq!(std::mem::offset_of!(Command, result), 68);
    }

    #[test]
    fn identify_and_feature_are_decoded() {
        let mut data = vec![0u8; IDENTIFY_LEN];
        assert_eq!(present_in_identify(&data), None);
        data[0] = 0x4D; // the vendor
        assert_eq!(present_in_identify(&data), Some(false));
        data[525] = 0x07; // present, and flushes of all namespaces are supported
        assert_eq!(present_in_identify(&data), Some(true));
        assert_eq!(present_in_identify(&data[..500]), None);
        assert!(enabled_in_feature(1) && !enabled_in_feature(0));
        let cache = |present, enabled| WriteCache { present, enabled }.is_volatile();
        assert!(cache(true, Some(true)) && cache(true, None));
        assert!(!cache(true, Some(false)) && !cache(false, None));
    }

    #[test]
    fn a_file_that_is_no_controller_says_nothing() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(write_cache(&file), None);
        assert!(log_page(&file, 0xD0, 4096).is_err());
    }
}
