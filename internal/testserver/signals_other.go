//go:build !unix

package testserver

import "os"

// terminate kills, which alone works everywhere; a nil signal reads as unsupported.
var terminate, pauseSignal, resumeSignal os.Signal = os.Kill, nil, nil
