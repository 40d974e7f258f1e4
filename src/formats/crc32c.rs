//! CRC-32C (Castagnoli), as etcd's WAL and snapshots use it.
//!
//! Eight tables, eight bytes a step: etcd hashes every record, so a bench that imitates it must,
//! and a slow checksum would be taken for a slow disk.

const POLY: u32 = 0x82F6_3B78;

const TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ POLY
            } else {
                crc >> 1
            };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut byte = 0;
    while byte < 256 {
        let mut table = 1;
        while table < 8 {
            let before = tables[table - 1][byte];
            tables[table][byte] = (before >> 8) ^ tables[0][(before & 0xFF) as usize];
            table += 1;
        }
        byte += 1;
    }
    tables
}

/// The checksum of `bytes` that follow what `crc` was made of; 0 to begin.
pub fn update(crc: u32, bytes: &[u8]) -> u32 {
    let mut crc = !crc;
    let mut words = bytes.chunks_exact(8);
    let at = |table: usize, word: u32| TABLES[table][(word & 0xFF) as usize];
    for word in &mut words {
        let low = u32::from_le_bytes([word[0], word[1], word[2], word[3]]) ^ crc;
        let high = u32::from_le_bytes([word[4], word[5], word[6], word[7]]);
        crc = at(7, low)
            ^ at(6, low >> 8)
            ^ at(5, low >> 16)
            ^ at(4, low >> 24)
            ^ at(3, high)
            ^ at(2, high >> 8)
            ^ at(1, high >> 16)
            ^ at(0, high >> 24);
    }
    for byte in words.remainder() {
        crc = (crc >> 8) ^ at(0, crc ^ u32::from(*byte));
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_check_value_and_parts_in_a_row() {
        assert_eq!(update(0, b"123456789"), 0xE306_9283);
        // RFC 3720, B.4: 32 bytes of zeroes.
        assert_eq!(update(0, &[0; 32]), 0x8A91_36AA);
        let whole: Vec<u8> = (0..=255).cycle().take(1001).collect();
        let parts = whole.chunks(13).fold(0, update);
        assert_eq!(update(0, &whole), parts);
    }
}
