//! Advice as files for a distribution: applied in memory and read back before they are shown.
