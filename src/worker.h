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
#include "internal.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"

/*
 * Databases that one server can have and still be looked after in all of
 * them.  A slot takes some 150 bytes and is looked at linearly under one lock,
 * a few times a minute: 1024 are more than fit on servers that work well,
 * and cost less than two hundred kilobytes.
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
 * One lane of work in a database, with at most one worker.  It is asked for
 * under a number, then a process; the number tells a late worker that nobody
 * waits for it any more.
 */
typedef struct PmLaneSlot
{
	TimestampTz next_due;		/* DT_NOEND: not before it is woken */
	uint32		wakes;			/* counts wakes: did one come while at work? */
	uint32		start;			/* number of a worker not there yet, or 0 */
	pid_t		pid;			/* its process, until it is out of the database */
	Latch	   *latch;			/* of that process, which may be asleep */
	bool		has_reported;	/* it has said when the next one is due */
	bool		is_excused;		/* who needs the database has ended it */
	int			failures;		/* workers in a row that did not report */
	TimestampTz not_before;		/* back off until then */
} PmLaneSlot;

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
	int			blocks;			/* backends that want nobody in the database */
	bool		wake_if_prepared;	/* a prepared transaction will need a wake */
	bool		is_update_told; /* the log has the line about ALTER EXTENSION */
	Oid			urgent;			/* a set to be looked at although it is not due */
	TimestampTz urged_at;
	PmLaneSlot	lanes[PM_LANES];
} PmSlot;

/* a worker that the launcher has asked for */
typedef struct PmStart
{
	Oid			dboid;
	PmLane		lane;
	uint32		number;			/* as in the slot */
} PmStart;

/* what the launcher tells a worker, in bgw_extra */
typedef struct PmWorkerArgs
{
	PmStart		start;
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
extern bool pm_slot_choose(TimestampTz now, PmStart *start, TimestampTz *next);
extern void pm_slot_unstarted(const PmStart *start, bool is_failure);
extern TimestampTz pm_slot_latest_due(PmLane lane, TimestampTz now);
extern PmSlot *pm_slot_copy(int *n);

/* ---------- slot_use.c: workers ---------- */
extern bool pm_slot_enter(const PmStart *start);
extern uint32 pm_slot_wakes(void);
extern bool pm_slot_leave(PmDbState state, const TimestampTz *next_due,
						  uint32 wakes);
extern bool pm_slot_tell_update(void);
extern Oid	pm_slot_take_urgent(void);

/* ---------- slot_use.c: backends ---------- */
extern void pm_slot_wake(Oid dboid);
extern void pm_slot_urge(Oid dboid, Oid parent);
extern void pm_slot_prepared(Oid dboid);
extern void pm_slot_prepared_committed(Oid dboid);
extern void pm_slot_look_again(void);
extern bool pm_slot_block(Oid dboid);
extern void pm_slot_unblock(Oid dboid);
extern bool pm_slot_end_workers(Oid dboid);
extern void pm_slot_wait_end(long timeout_ms);

/* ---------- worker.c ---------- */
extern void pm_transaction_begin(const char *activity);
extern void pm_transaction_end(void);
extern void pm_worker_connect(Oid dboid);
extern ErrorData *pm_worker_guarded(void (*work) (void *arg), void *arg,
									MemoryContext context);
extern void pm_worker_log(ErrorData *problem, const char *about);

extern void pm_worker_reload(void);
extern void pm_worker_pause(int ms);

/* ---------- overdue.c ---------- */
extern void pm_overdue_begin(void (*note) (ErrorData *problem));
extern void pm_overdue_watch(void);
extern void pm_overdue_unwatch(void);

/* ---------- dbhook.c ---------- */
extern void pm_dbhook_install(void);

/* entry points of processes, called by the postmaster by name */
extern PGDLLEXPORT void pm_launcher_main(Datum arg);
extern PGDLLEXPORT void pm_worker_main(Datum arg);

#endif							/* PARTMGR_WORKER_H */
