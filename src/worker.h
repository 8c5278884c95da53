/*-------------------------------------------------------------------------
 *
 * worker.h
 *		What the files of the background worker share.
 *
 * slot.c and slot_use.c keep the databases in shared memory, launcher.c is the
 * one process that looks at all of them, worker.c is the short-lived process in
 * one database, dbhook.c is the side of ordinary backends.  What the rest of
 * partmgr may call (pm_worker_register, pm_worker_wake) is
 * in internal.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PARTMGR_WORKER_H
#define PARTMGR_WORKER_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "postmaster/bgworker.h"

/*
 * Databases that one server can have and still be looked after in all of
 * them.  A slot takes some 80 bytes and is looked at linearly under one lock,
 * a few times a minute: 1024 are more than fit on servers that work well,
 * and cost less than one hundred kilobytes.
 */
#define PM_MAX_DATABASES 1024

/* what is known about a database */
typedef enum PmDbState
{
	DB_UNKNOWN,					/* nobody has looked yet */
	DB_WITHOUT,					/* no extension there */
	DB_WITH,					/* has the extension */
	DB_OUTDATED					/* has it, in an older version than ours */
} PmDbState;

/*
 * One database.  All fields are protected by the lock of slot.c; only slot.c
 * and slot_use.c touch slots in shared memory, others get copies.
 */
typedef struct PmSlot
{
	Oid			dboid;			/* InvalidOid: free slot */
	PmDbState	state;
	bool		is_listed;		/* exists and takes connections, says launcher */
	TimestampTz created;
	TimestampTz next_due;		/* DT_NOEND: not before it is woken */
	uint32		wakes;			/* counts wakes: did one come while at work? */

	/*
	 * The worker: asked for under a number, then a process.  The number tells
	 * a late worker that nobody waits for it any more.
	 */
	uint32		start;			/* number of a worker not there yet, or 0 */
	pid_t		pid;			/* its process, until it is out of the database */
	bool		has_reported;	/* it has said when the next one is due */
	int			failures;		/* workers in a row that ended without that */
	TimestampTz not_before;		/* back off until then */

	int			blocks;			/* backends that want nobody in the database */
	bool		is_excused;		/* such a backend ended the worker */
	bool		wake_if_prepared;	/* a prepared transaction will need a wake */
	bool		is_update_told; /* the log has the line about ALTER EXTENSION */
} PmSlot;

/* what the launcher tells a worker, in bgw_extra */
typedef struct PmWorkerArgs
{
	uint32		start;			/* as in the slot */
	char		database[NAMEDATALEN];	/* its name, for messages */
} PmWorkerArgs;

StaticAssertDecl(sizeof(PmWorkerArgs) <= BGW_EXTRALEN,
				 "arguments of a worker fit into bgw_extra");

/* a database as the launcher lists it */
typedef struct PmDatabase
{
	Oid			oid;
	char		name[NAMEDATALEN];
} PmDatabase;

/* ---------- slot.c ---------- */
extern void pm_slot_request(void);
extern void pm_slot_attach_launcher(void);
extern bool pm_slot_sync(PmDatabase *databases, int n, TimestampTz listed_at);
extern bool pm_slot_choose(TimestampTz now, Oid *dboid, uint32 *start,
						   TimestampTz *next);
extern void pm_slot_unstarted(Oid dboid, uint32 start, bool is_failure);
extern PmSlot *pm_slot_copy(int *n);

/* ---------- slot_use.c: workers ---------- */
extern bool pm_slot_enter(Oid dboid, uint32 start);
extern uint32 pm_slot_wakes(void);
extern bool pm_slot_leave(PmDbState state, TimestampTz next_due, uint32 wakes);
extern bool pm_slot_tell_update(void);

/* ---------- slot_use.c: backends ---------- */
extern void pm_slot_wake(Oid dboid);
extern void pm_slot_prepared(Oid dboid);
extern void pm_slot_prepared_committed(Oid dboid);
extern void pm_slot_look_again(void);
extern bool pm_slot_block(Oid dboid);
extern void pm_slot_unblock(Oid dboid);
extern bool pm_slot_end_worker(Oid dboid);
extern void pm_slot_wait_end(long timeout_ms);

/* ---------- worker.c ---------- */
extern void pm_transaction_begin(const char *activity);
extern void pm_transaction_end(void);

/* ---------- dbhook.c ---------- */
extern void pm_dbhook_install(void);

/* entry points of processes, called by the postmaster by name */
extern PGDLLEXPORT void pm_launcher_main(Datum arg);
extern PGDLLEXPORT void pm_worker_main(Datum arg);

#endif							/* PARTMGR_WORKER_H */
