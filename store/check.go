package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
)

// checkPages walks every page of a bbolt file that a reader can reach, and
// returns what is wrong with the first that makes no sense. bbolt itself trusts
// its pages: one flipped byte makes it follow a page to itself for ever. The
// walk ends whatever the file holds, for it takes each page once.
//
// The format is that of bbolt's internal/common, in the byte order of the
// machines that berth runs on.
func checkPages(file io.ReaderAt, size int64) error {
	top, err := readMeta(file, size)
	if err != nil {
		return err
	}
	if top.pages > uint64(size)/top.pageSize {
		return fmt.Errorf("it is cut short: %d of %d bytes are there", size, top.pages*top.pageSize)
	}
	c := &pageCheck{file: file, pageSize: top.pageSize, seen: make([]bool, top.pages)}
	if err := c.tree(top.root, keyRange{}, 0); err != nil {
		return err
	}
	return c.freelist(top.freelist)
}

// The layout of a page: a header, elements of one size, then what they point to.
const (
	pageHeader  = 16 // id, flags, count, overflow
	elementSize = 16
	bucketSize  = 16 // root page, sequence; in front of the page of an inline bucket

	branchPage, leafPage, freelistPage = 0x01, 0x02, 0x10

	bucketElement = 0x01

	boltMagic, boltVersion = 0xED0CDAED, 2

	// maxDepth is more than any real file has: with 30 keys on a page and
	// buckets in buckets, ten levels hold more than a disk does.
	maxDepth = 64
)

var order = binary.LittleEndian

// meta is the part of a meta page that leads to everything else.
type meta struct {
	pageSize, root, freelist, pages, transaction uint64
}

// readMeta returns the newer of the two meta pages that are whole, as bbolt does.
func readMeta(file io.ReaderAt, size int64) (meta, error) {
	first, firstErr := metaAt(file, 0)
	if firstErr == nil {
		if second, err := metaAt(file, int64(first.pageSize)); err == nil && second.transaction > first.transaction {
			return second, nil
		}
		return first, nil
	}
	// Where the second one is depends on a page size that the first would say.
	for at := int64(1024); at <= 1024<<14 && at < size-1024; at *= 2 {
		if second, err := metaAt(file, at); err == nil && second.pageSize == uint64(at) {
			return second, nil
		}
	}
	return meta{}, firstErr
}

func metaAt(file io.ReaderAt, at int64) (m meta, err error) {
	var raw [pageHeader + 64]byte
	if _, err := file.ReadAt(raw[:], at); errors.Is(err, io.EOF) {
		return m, errors.New("it has less than two pages")
	} else if err != nil {
		return m, err
	}
	body := raw[pageHeader:]
	if order.Uint32(body) != boltMagic || order.Uint32(body[4:]) != boltVersion {
		return m, errors.New("it is not a bbolt file")
	}
	sum := fnv.New64a()
	sum.Write(body[:56])
	if order.Uint64(body[56:]) != sum.Sum64() {
		return m, errors.New("the checksum of its first pages is wrong")
	}
	m = meta{
		pageSize: uint64(order.Uint32(body[8:])), root: order.Uint64(body[16:]), freelist: order.Uint64(body[32:]),
		pages: order.Uint64(body[40:]), transaction: order.Uint64(body[48:]),
	}
	if m.pageSize < 1024 || m.pageSize > 1024<<14 || m.pageSize&(m.pageSize-1) != 0 {
		return m, fmt.Errorf("its page size is %d", m.pageSize)
	}
	return m, nil
}

// pageCheck is one walk.
type pageCheck struct {
	file     io.ReaderAt
	pageSize uint64
	seen     []bool // by page
}

// keyRange is where a page's keys have to be: at least from, and before to.
// nil is no bound.
type keyRange struct{ from, to []byte }

// read returns a page with what it overflows into, none of which was read before.
func (c *pageCheck) read(id uint64) (page []byte, err error) {
	if id < 2 || id >= uint64(len(c.seen)) {
		return nil, fmt.Errorf("it leads to page %d of %d", id, len(c.seen))
	}
	var head [pageHeader]byte
	if _, err := c.file.ReadAt(head[:], int64(id*c.pageSize)); err != nil {
		return nil, err
	}
	if said := order.Uint64(head[:]); said != id {
		return nil, fmt.Errorf("page %d says that it is page %d", id, said)
	}
	end := id + uint64(order.Uint32(head[12:])) + 1
	if end > uint64(len(c.seen)) {
		return nil, fmt.Errorf("page %d reaches beyond the file's end", id)
	}
	for i := id; i < end; i++ {
		if c.seen[i] {
			return nil, fmt.Errorf("page %d is used twice", i)
		}
		c.seen[i] = true
	}
	page = make([]byte, (end-id)*c.pageSize)
	if _, err := c.file.ReadAt(page, int64(id*c.pageSize)); err != nil {
		return nil, err
	}
	return page, nil
}

func pageFlags(page []byte) uint16 { return order.Uint16(page[8:]) }
func pageCount(page []byte) int    { return int(order.Uint16(page[10:])) }

// tree checks a page and all below it.
func (c *pageCheck) tree(id uint64, keys keyRange, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("page %d is too deep", id)
	}
	page, err := c.read(id)
	if err != nil {
		return err
	}
	switch pageFlags(page) {
	case branchPage:
		err = c.branch(page, keys, depth)
	case leafPage:
		err = c.leaf(page, keys, depth)
	default:
		err = fmt.Errorf("its kind is %#x", pageFlags(page))
	}
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// elements calls fn with each element of a page, its key and what comes after
// the key. keys have to rise, within their range.
func elements(page []byte, keys keyRange, fn func(i int, element, key, rest []byte) error) error {
	count := pageCount(page)
	data := pageHeader + count*elementSize
	if data > len(page) {
		return fmt.Errorf("it has no room for %d keys", count)
	}
	branch := pageFlags(page) == branchPage
	last := keys.from
	for i := range count {
		at := pageHeader + i*elementSize
		element := page[at : at+elementSize]
		position, length := order.Uint32(element[4:]), order.Uint32(element[8:])
		if branch {
			position, length = order.Uint32(element), order.Uint32(element[4:])
		}
		begin := uint64(at) + uint64(position)
		end := begin + uint64(length)
		if length == 0 || begin < uint64(data) || end > uint64(len(page)) {
			return fmt.Errorf("key %d is not in it", i)
		}
		key := page[begin:end]
		if order := bytes.Compare(key, last); order < 0 || order == 0 && i > 0 || keys.to != nil && bytes.Compare(key, keys.to) >= 0 {
			return fmt.Errorf("key %d is out of order", i)
		}
		last = key
		if err := fn(i, element, key, page[end:]); err != nil {
			return err
		}
	}
	return nil
}

func (c *pageCheck) branch(page []byte, keys keyRange, depth int) error {
	type child struct {
		id  uint64
		key []byte
	}
	var children []child
	err := elements(page, keys, func(_ int, element, key, _ []byte) error {
		children = append(children, child{order.Uint64(element[8:]), key})
		return nil
	})
	if err != nil {
		return err
	}
	if len(children) == 0 {
		return errors.New("it leads nowhere")
	}
	for i, child := range children {
		below := keyRange{child.key, keys.to}
		if i+1 < len(children) {
			below.to = children[i+1].key
		}
		if err := c.tree(child.id, below, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (c *pageCheck) leaf(page []byte, keys keyRange, depth int) error {
	return elements(page, keys, func(i int, element, _, rest []byte) error {
		flags, size := order.Uint32(element), order.Uint32(element[12:])
		if uint64(size) > uint64(len(rest)) {
			return fmt.Errorf("value %d is not in it", i)
		}
		switch flags {
		case 0:
			return nil
		case bucketElement:
			return c.bucket(rest[:size], depth)
		}
		return fmt.Errorf("value %d is of the kind %#x", i, flags)
	})
}

// bucket checks a bucket in a bucket, which has a page of its own or lies
// within the value.
func (c *pageCheck) bucket(value []byte, depth int) error {
	if len(value) < bucketSize {
		return errors.New("a bucket in it is cut short")
	}
	if root := order.Uint64(value); root != 0 {
		return c.tree(root, keyRange{}, depth+1)
	}
	inline := value[bucketSize:]
	if len(inline) < pageHeader || pageFlags(inline) != leafPage {
		return errors.New("a bucket in it makes no sense")
	}
	return elements(inline, keyRange{}, func(i int, element, _, rest []byte) error {
		if order.Uint32(element) != 0 || uint64(order.Uint32(element[12:])) > uint64(len(rest)) {
			return fmt.Errorf("value %d of a bucket in it is not in it", i)
		}
		return nil
	})
}

// freelist checks the pages that are free: bbolt writes over them.
func (c *pageCheck) freelist(id uint64) error {
	if id == math.MaxUint64 {
		return nil // not kept; bbolt finds the free pages by a walk of its own
	}
	page, err := c.read(id)
	if err != nil {
		return fmt.Errorf("the list of free pages: %w", err)
	}
	if kind := pageFlags(page); kind != freelistPage {
		return fmt.Errorf("the list of free pages is of the kind %#x", kind)
	}
	ids, count := page[pageHeader:], uint64(pageCount(page))
	if count == math.MaxUint16 { // and more
		if len(ids) < 8 {
			return errors.New("the list of free pages is cut short")
		}
		count, ids = order.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids))/8 {
		return fmt.Errorf("the list of free pages has no room for %d", count)
	}
	for i := range count {
		free := order.Uint64(ids[8*i:])
		if free < 2 || free >= uint64(len(c.seen)) {
			return fmt.Errorf("page %d of %d is among the free ones", free, len(c.seen))
		}
		if c.seen[free] {
			return fmt.Errorf("page %d is free and in use", free)
		}
		c.seen[free] = true
	}
	return nil
}
