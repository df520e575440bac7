package kafkaio_test

import (
	"io"
	"strings"
)

func reader(s string) io.Reader { return strings.NewReader(s) }
