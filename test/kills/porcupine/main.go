// Reads a history of register operations, a JSON object a line, and asks Porcupine whether it is linearizable.
// Prints `linearizable`, `not linearizable: KEY` or `undecided`.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

// One operation. Without a return its outcome is not known: it happened some time after its call, or never.
type operation struct {
	Client   int    `json:"client"`
	Key      string `json:"key"`
	Kind     string `json:"kind"` // read, write, compareAndSet
	Expected string `json:"expected"`
	Value    string `json:"value"` // written, or read; "null" for none
	Did      bool   `json:"did"`
	Called   int64  `json:"called"`
	Returned *int64 `json:"returned"`
}

var registers = porcupine.Model{
	Init: func() interface{} { return "null" },
	Step: func(state, input, _ interface{}) (bool, interface{}) {
		op := input.(operation)
		switch op.Kind {
		case "read":
			return op.Returned == nil || state == op.Value, state
		case "write":
			return true, op.Value
		case "compareAndSet":
			equal := state == op.Expected
			if equal {
				return op.Returned == nil || op.Did, op.Value
			}
			return op.Returned == nil || !op.Did, state
		}
		panic("unknown kind " + op.Kind)
	},
}

func main() {
	byKey := map[string][]porcupine.Operation{}
	decoder := json.NewDecoder(os.Stdin)
	for {
		var op operation
		if err := decoder.Decode(&op); err == io.EOF {
			break
		} else if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		returned := int64(math.MaxInt64)
		if op.Returned != nil {
			returned = *op.Returned
		}
		byKey[op.Key] = append(byKey[op.Key], porcupine.Operation{
			ClientId: op.Client, Input: op, Call: op.Called, Output: nil, Return: returned,
		})
	}
	// A register is linearizable by itself, whatever the others do.
	for key, history := range byKey {
		switch porcupine.CheckOperationsTimeout(registers, history, 2*time.Minute) {
		case porcupine.Illegal:
			fmt.Println("not linearizable: " + key)
			return
		case porcupine.Unknown:
			fmt.Println("undecided")
			return
		}
	}
	fmt.Println("linearizable")
}
