package services

import (
	"os/exec"
	"syscall"
)

// attributes make a process die with us, keep our terminal's Ctrl-C from it, and run it as another user if uid is not negative.
func attributes(uid, gid int) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if uid >= 0 {
		a.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return a
}

// asUser makes a command that runs to its end run as another user.
func asUser(cmd *exec.Cmd, uid, gid int) *exec.Cmd {
	cmd.SysProcAttr = attributes(uid, gid)
	cmd.SysProcAttr.Pdeathsig = 0 // its thread is not kept
	return cmd
}
