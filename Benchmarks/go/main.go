// Gobench is the Go twin of csp-bench: it runs one workload in this process and prints its name and its time.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

type workload struct {
	name string
	run  func() float64
}

// In the order of the table that compare prints. The names are those of csp-bench.
var workloads = []workload{
	{"unbuffered-ping-pong", func() float64 { return unbufferedPingPong(1_000_000) }},
	{"buffered-same-goroutine", bufferedSameGoroutine},
	{"producer-consumer", func() float64 { return producerConsumer(3_000_000) }},
	{"four-by-four", fourByFour},
	{"fan-in", fanIn},
	{"spawn-wait-group", spawnWaitGroup},
	{"spawn-join", spawnJoin},
	{"yield-two", yieldTwo},
	{"yield-alone", yieldAlone},
	{"select-ping-pong", selectPingPong},
	{"select-one-ready", selectOneReady},
	{"select-both-ready", selectBothReady},
	{"select-default-one", selectDefaultOne},
	{"select-default-two", selectDefaultTwo},
	{"ring", ring},
	{"prime-sieve", primeSieve},
	{"skynet", skynet},
	{"wake-million", wakeMillion},
	{"spawn-million", spawnMillion},
	{"timer-stop", timerStop},
	{"sleepers", sleepers},
	{"cpu-bound", cpuBound},
	{"mixed", mixed},
	{"mutex-uncontended", mutexUncontended},
	{"mutex-contended", mutexContended},
	{"once", onceDone},
	{"rwmutex-read", rwMutexRead},
	{"semaphore", semaphoreFour},
	{"map-read", mapRead},
	{"map-mixed", mapMixed},
	// Go's main is a goroutine already; here csp-bench stays on its plain main thread.
	{"main-thread-consumer", func() float64 { return producerConsumer(300_000) }},
	{"main-thread-ping-pong", func() float64 { return unbufferedPingPong(100_000) }},
}

// nanosecondsPer returns the time that body takes, divided by the number of operations in it.
func nanosecondsPer(operations int, body func()) float64 {
	start := time.Now()
	body()
	return float64(time.Since(start).Nanoseconds()) / float64(operations)
}

// check stops a run whose result is wrong: its time would mean nothing.
func check(condition bool) {
	if !condition {
		panic("wrong result")
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: gobench NAME [--procs N] | gobench --list")
	os.Exit(2)
}

func main() {
	arguments := os.Args[1:]
	if len(arguments) == 1 && arguments[0] == "--list" {
		for _, workload := range workloads {
			fmt.Println(workload.name)
		}
		return
	}
	if len(arguments) == 3 && arguments[1] == "--procs" {
		processors, err := strconv.Atoi(arguments[2])
		if err != nil || processors < 1 {
			usage()
		}
		runtime.GOMAXPROCS(processors)
	} else if len(arguments) != 1 {
		usage()
	}
	for _, workload := range workloads {
		if workload.name == arguments[0] {
			fmt.Printf("%s %.2f\n", workload.name, workload.run())
			return
		}
	}
	usage()
}
