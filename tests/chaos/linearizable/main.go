// Reads the history of one fenced row, an operation a line, and checks whether it is linearizable:
// exit code 0 if it is, 1 if not or if the check took too long.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

// A term belongs to one owner, a later term wins, and an earlier one is refused.
type row struct {
	Term  uint64
	Owner string
	Value uint64
}

type operation struct {
	row
	Client  int
	Call    int64
	Return  *int64
	Outcome string
}

func step(state, input, output any) (bool, any) {
	before, write, outcome := state.(row), input.(row), output.(string)
	if outcome == "read" {
		return before == write, before
	}
	if write.Term < before.Term {
		return outcome != "accepted", before
	}
	if write.Term == before.Term && write.Owner != before.Owner {
		// Two leaders of one term, whether both received the answer or not.
		return false, before
	}
	return outcome != "refused", write
}

func main() {
	var history []porcupine.Operation
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var one operation
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			fmt.Println("not an operation:", err)
			os.Exit(1)
		}
		end := int64(math.MaxInt64)
		if one.Return != nil {
			end = *one.Return
		}
		history = append(history, porcupine.Operation{
			ClientId: one.Client, Input: one.row, Call: one.Call, Output: one.Outcome, Return: end,
		})
	}
	model := porcupine.Model{Init: func() any { return row{} }, Step: step}
	result := porcupine.CheckOperationsTimeout(model, history, 5*time.Minute)
	fmt.Printf("%d operations: %s\n", len(history), result)
	if len(history) == 0 || result != porcupine.Ok {
		os.Exit(1)
	}
}
