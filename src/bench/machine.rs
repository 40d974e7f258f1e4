//! The machine that a result was measured on, in one line.

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use crate::formats::bench::disk::Machine;

/// Asks the running machine.
pub fn machine() -> Machine {
    let what = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(what).ok();
    Machine {
        node: System::host_name().unwrap_or_default(),
        cpu: system
            .as_ref()
            .and_then(|system| system.cpus().first())
            .map(|cpu| cpu.brand().trim().to_owned())
            .filter(|brand| !brand.is_empty()),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: system.as_ref().map(System::total_memory),
        kernel: System::kernel_version().ok(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_machine_has_a_processor_and_memory() {
        let machine = super::machine();
        assert!(machine.cpus >= 1 && machine.memory_bytes.is_some_and(|bytes| bytes > 0));
    }
}
