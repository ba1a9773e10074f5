package main

import (
	"encoding/binary"
	"fmt"
)

// cursor takes bytes from the front; once too many were asked for, it gives zeros and failed is set.
type cursor struct {
	bytes  []byte
	failed bool
}

func (c *cursor) take(count int) []byte {
	if c.failed || count < 0 || count > len(c.bytes) {
		c.failed = true
		return make([]byte, max(0, min(count, 64)))
	}
	taken := c.bytes[:count]
	c.bytes = c.bytes[count:]
	return taken
}

func (c *cursor) u32() int {
	return int(binary.LittleEndian.Uint32(c.take(4)))
}

// readSections splits an iden3 file: magic, version, count, then sections of type u32, length u64, body.
func readSections(bytes []byte, magic string) (map[int][]byte, error) {
	file := cursor{bytes: bytes}
	if string(file.take(4)) != magic {
		return nil, fmt.Errorf("does not start with %q", magic)
	}
	file.take(4)
	found := map[int][]byte{}
	for range file.u32() {
		kind := file.u32()
		length := binary.LittleEndian.Uint64(file.take(8))
		found[kind] = file.take(int(min(length, uint64(len(bytes)+1))))
		if file.failed {
			return nil, fmt.Errorf("section %d ends early", kind)
		}
	}
	return found, nil
}
