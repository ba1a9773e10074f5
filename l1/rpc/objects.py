"""Blocks, transactions, receipts and logs as JSON objects (execution-apis schemas)."""

from __future__ import annotations

from typing import Any

import rlp
from eth_hash.auto import keccak

from l1.chain.blockchain import StoredBlock
from l1.rpc.encoding import data, quantity
from native import _native

Json = dict[str, Any]


def block_object(stored: StoredBlock, *, full: bool, pending: bool = False) -> Json:
    """A block with its transactions, or with their hashes. A pending block has no hash."""
    block = stored.block
    transactions: list[Any]
    if full:
        transactions = [transaction_object(tx, block, i, pending=pending) for i, tx in enumerate(block.transactions)]
    else:
        transactions = [data(tx.hash) for tx in block.transactions]
    return {
        "number": quantity(block.number),
        "hash": None if pending else data(block.hash),
        "parentHash": data(block.parent_hash),
        "sha3Uncles": data(block.ommers_hash),
        "miner": data(block.beneficiary),
        "stateRoot": data(block.state_root),
        "transactionsRoot": data(block.transactions_root),
        "receiptsRoot": data(block.receipts_root),
        "logsBloom": data(block.logs_bloom),
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "gasLimit": quantity(block.gas_limit),
        "gasUsed": quantity(block.gas_used),
        "timestamp": quantity(block.timestamp),
        "extraData": data(block.extra_data),
        "mixHash": data(block.prev_randao),
        "nonce": None if pending else "0x0000000000000000",
        "baseFeePerGas": quantity(block.base_fee_per_gas),
        "withdrawalsRoot": data(block.withdrawals_root),
        "withdrawals": [_withdrawal_object(*each) for each in block.withdrawals],
        "blobGasUsed": "0x0",
        "excessBlobGas": "0x0",
        "parentBeaconBlockRoot": data(block.parent_beacon_block_root),
        "requestsHash": data(block.requests_hash),
        "size": quantity(len(block.encoded)),
        "uncles": [],
        "transactions": transactions,
    }


def _withdrawal_object(index: int, validator_index: int, address: bytes, gwei: int) -> Json:
    return {
        "index": quantity(index),
        "validatorIndex": quantity(validator_index),
        "address": data(address),
        "amount": quantity(gwei),
    }


def transaction_object(
    tx: _native.Transaction, block: _native.Block | None = None, position: int = 0, *, pending: bool = False
) -> Json:
    """A transaction; without a block it waits in the mempool."""
    mined = block is not None and not pending
    body: Json = {
        "hash": data(tx.hash),
        "type": quantity(tx.type),
        "from": data(tx.sender),
        "to": None if tx.to is None else data(tx.to),
        "nonce": quantity(tx.nonce),
        "gas": quantity(tx.gas),
        "value": quantity(tx.value),
        "input": data(tx.input),
        "blockHash": data(block.hash) if block is not None and mined else None,
        "blockNumber": quantity(block.number) if block is not None and mined else None,
        "transactionIndex": quantity(position) if mined else None,
        "r": quantity(tx.r),
        "s": quantity(tx.s),
    }
    if tx.chain_id is not None:
        body["chainId"] = quantity(tx.chain_id)
    if tx.type == 0:
        body["v"] = quantity(tx.y_parity + (27 if tx.chain_id is None else 35 + 2 * tx.chain_id))
    else:
        body["v"] = body["yParity"] = quantity(tx.y_parity)
        body["accessList"] = [
            {"address": data(address), "storageKeys": [data(key) for key in keys]}
            for address, keys in tx.access_list or []
        ]
    if tx.type >= 2:
        body["maxFeePerGas"] = quantity(tx.max_fee_per_gas)
        body["maxPriorityFeePerGas"] = quantity(tx.max_priority_fee_per_gas)
    price = tx.max_fee_per_gas
    if block is not None:
        price = tx.effective_gas_price(block.base_fee_per_gas)
    body["gasPrice"] = quantity(price)
    if tx.authorization_list is not None:
        body["authorizationList"] = [
            {
                "chainId": quantity(chain_id),
                "address": data(address),
                "nonce": quantity(nonce),
                "yParity": quantity(y_parity),
                "r": quantity(r),
                "s": quantity(s),
            }
            for chain_id, address, nonce, y_parity, r, s in tx.authorization_list
        ]
    return body


def receipt_objects(stored: StoredBlock) -> list[Json]:
    """The receipts of a block, in order."""
    return [receipt_object(stored, position) for position in range(len(stored.receipts))]


def receipt_object(stored: StoredBlock, position: int) -> Json:
    """One receipt of a block."""
    block, tx, receipt = stored.block, stored.block.transaction(position), stored.receipts[position]
    to = tx.to
    return {
        "transactionHash": data(tx.hash),
        "transactionIndex": quantity(position),
        "blockHash": data(block.hash),
        "blockNumber": quantity(block.number),
        "from": data(tx.sender),
        "to": None if to is None else data(to),
        "cumulativeGasUsed": quantity(receipt.cumulative_gas_used),
        "gasUsed": quantity(receipt.gas_used),
        "effectiveGasPrice": quantity(tx.effective_gas_price(block.base_fee_per_gas)),
        "contractAddress": data(contract_address(tx.sender, tx.nonce)) if to is None else None,
        "logs": _log_objects(block, tx, position, receipt),
        "logsBloom": data(receipt.logs_bloom),
        "type": quantity(tx.type),
        "status": quantity(int(receipt.status)),
    }


def log_objects(stored: StoredBlock) -> list[Json]:
    """Every log of a block, in order."""
    block = stored.block
    return [
        log
        for position, receipt in enumerate(stored.receipts)
        for log in _log_objects(block, block.transaction(position), position, receipt)
    ]


def _log_objects(block: _native.Block, tx: _native.Transaction, position: int, receipt: _native.Receipt) -> list[Json]:
    logs = receipt.logs
    if not logs:
        return []
    shared = {
        "blockNumber": quantity(block.number),
        "blockHash": data(block.hash),
        "blockTimestamp": quantity(block.timestamp),
        "transactionHash": data(tx.hash),
        "transactionIndex": quantity(position),
        "removed": False,
    }
    first = receipt.first_log_index
    return [
        {
            "address": data(address),
            "topics": [data(topic) for topic in topics],
            "data": data(payload),
            "logIndex": quantity(first + index),
            **shared,
        }
        for index, (address, topics, payload) in enumerate(logs)
    ]


def contract_address(sender: bytes, nonce: int) -> bytes:
    """Address of the contract that a transaction creates (Yellow Paper §7): 20 bytes."""
    return keccak(rlp.encode([sender, nonce]))[12:]
