//! What a disk's model string says in the large clouds: network volume, or a local disk whose
//! data dies with the machine.
//!
//! Sources: linux-nvme/nvme-cli plugins/amzn, GoogleCloudPlatform/guest-configs,
//! Azure/azure-vm-utils; the Google SCSI names are from its documentation.

/// A disk of a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloudDisk {
    /// What the cloud calls it.
    pub name: &'static str,
    /// Whether its data is gone when the machine stops or moves.
    pub ephemeral: bool,
}

/// Vendor (or nothing), model as a prefix, and what it is. Longer models come first.
const DISKS: &[(&str, &str, &str, bool)] = &[
    ("", "Amazon Elastic Block Store", "Amazon EBS volume", false),
    (
        "",
        "Amazon EC2 NVMe Instance Storage",
        "Amazon EC2 instance store",
        true,
    ),
    ("", "nvme_card-pd", "Google persistent disk", false),
    ("", "nvme_card", "Google local SSD", true),
    ("Google", "PersistentDisk", "Google persistent disk", false),
    ("Google", "EphemeralDisk", "Google local SSD", true),
    ("", "MSFT NVMe Accelerator", "Azure remote disk", false),
    (
        "",
        "Microsoft NVMe Direct Disk",
        "Azure local NVMe disk",
        true,
    ),
    (
        "Msft",
        "Virtual Disk",
        "Azure or Hyper-V virtual disk",
        false,
    ),
    // Local NVMe of Alibaba's i-family instances and of OCI's DenseIO shapes have no model of
    // their own, so they cannot be told here.
];

/// What a vendor and model mean, if a cloud is known to use them.
pub fn disk(vendor: &str, model: &str) -> Option<CloudDisk> {
    let (vendor, model) = (vendor.trim(), model.trim());
    DISKS
        .iter()
        .find(|(of, name, ..)| {
            // Google numbers its local NVMe disks: `nvme_card0`.
            (of.is_empty() || *of == vendor) && model.starts_with(name)
        })
        .map(|(_, _, name, ephemeral)| CloudDisk {
            name,
            ephemeral: *ephemeral,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_disks_are_ephemeral_and_volumes_are_not() {
        for (vendor, model, ephemeral) in [
            ("", "Amazon Elastic Block Store              ", Some(false)),
            ("", "Amazon EC2 NVMe Instance Storage", Some(true)),
            ("", "nvme_card", Some(true)),
            ("", "nvme_card3", Some(true)),
            ("", "nvme_card-pd", Some(false)),
            ("Google  ", "EphemeralDisk", Some(true)),
            ("Google", "PersistentDisk", Some(false)),
            ("", "PersistentDisk", None),
            ("", "MSFT NVMe Accelerator v1.0", Some(false)),
            ("", "Microsoft NVMe Direct Disk v2", Some(true)),
            ("Msft", "Virtual Disk", Some(false)),
            ("ATA", "Samsung SSD 860", None),
        ] {
            assert_eq!(
                disk(vendor, model).map(|d| d.ephemeral),
                ephemeral,
                "{model}"
            );
        }
    }

    #[test]
    fn longer_models_come_before_their_prefixes() {
        for (at, (vendor, model, ..)) in DISKS.iter().enumerate() {
            for (other, longer, ..) in &DISKS[at + 1..] {
                assert!(vendor != other || !longer.starts_with(model), "{longer}");
            }
        }
    }
}
