// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDapp} from "./IDapp.sol";
import {IRouter} from "./IRouter.sol";
import {ITrustAnchor} from "./ITrustAnchor.sol";
import {IVerifier} from "./IVerifier.sol";
import {Statement} from "./Types.sol";

/// @title Test only: a second proof kind, a signature over the Statement digest
contract SignatureVerifier is IVerifier {
    IRouter public immutable ROUTER;
    address public immutable SIGNER;

    constructor(IRouter router, address signer) {
        ROUTER = router;
        SIGNER = signer;
    }

    function verify(Statement calldata s, bytes calldata, bytes calldata proof) external view returns (bool) {
        if (msg.sender != address(ROUTER)) revert NotRouter(msg.sender);
        (bytes32 r, bytes32 ss, uint8 v) = abi.decode(proof, (bytes32, bytes32, uint8));
        address recovered = ecrecover(ROUTER.digest(s), v, r, ss);
        return recovered != address(0) && recovered == SIGNER;
    }
}

/// @title Test only: a verifier that answers for its trust anchor as it is told
contract AnchoredVerifier is SignatureVerifier {
    uint8 public immutable ANSWER;

    constructor(IRouter router, address signer, uint8 answer) SignatureVerifier(router, signer) {
        ANSWER = answer;
    }

    fallback() external {
        require(msg.sig == ITrustAnchor.isSimulated.selector, "unknown function");
        if (ANSWER == 3) revert("out of order");
        uint256 word = ANSWER == 0 ? 0 : 1;
        uint256 size = ANSWER == 2 ? 64 : 32;
        assembly {
            mstore(0, mul(word, eq(size, 32)))
            mstore(32, 0)
            return(0, size)
        }
    }
}

/// @title Test only: a dApp that behaves as it is told
contract TestDapp is IDapp {
    enum Mode {
        Accept,
        Revert,
        Burn,
        Bomb,
        Reenter
    }

    Mode public mode;
    uint256 public processed;
    uint256 public gasSeen;
    bytes public reentrantCall;
    bytes public reentrantReply;
    Statement private _last;

    function set(Mode wanted, bytes calldata call) external {
        mode = wanted;
        reentrantCall = call;
    }

    function last() external view returns (Statement memory) {
        return _last;
    }

    function process(Statement calldata s, bytes calldata) external {
        uint256 available = gasleft();
        if (mode == Mode.Revert) {
            revert(string(new bytes(1000)));
        } else if (mode == Mode.Burn) {
            while (true) {}
        } else if (mode == Mode.Bomb) {
            assembly {
                revert(0, 300000)
            }
        } else if (mode == Mode.Reenter) {
            (bool success, bytes memory reply) = msg.sender.call(reentrantCall);
            if (success) revert("re-entry was allowed");
            reentrantReply = reply;
        }
        processed += 1;
        gasSeen = available;
        _last = s;
    }
}
